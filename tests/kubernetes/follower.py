"""A process that copies one pod's log, so that it can be killed.

`python -m tests.kubernetes.follower DATA NAMESPACE POD` ends when the pod has ended and its log is whole.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from msgspec import Struct

from backend.errors import ClusterUnavailable
from backend.executors.base import AttemptKey
from backend.executors.kubernetes.logs import ContainerLogs
from backend.kube import PODS, Connection, Kube, Object, connect
from backend.layout import Layout

KEY = AttemptKey("run", "stage", 1)


class PodStatus(Struct, frozen=True):
    phase: str = ""


class Pod(Object, frozen=True):
    status: PodStatus = PodStatus()


async def ended(kube: Kube, pod: str) -> None:
    """Return when the pod has ended."""
    while True:
        try:
            if (await kube.get(PODS, pod, Pod)).status.phase in ("Succeeded", "Failed"):
                return
        except ClusterUnavailable:
            pass
        await asyncio.sleep(0.1)


async def main(data: str, namespace: str, pod: str) -> None:
    kube = await connect(Connection(namespace=namespace))
    logs = ContainerLogs(kube, Layout(Path(data)))
    logs.follow(KEY, pod)
    await ended(kube, pod)
    await logs.finish(KEY, pod, ["stage"])
    await kube.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
