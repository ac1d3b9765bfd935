"""A Kubernetes executor on a volume that this machine can reach, and attempts that are scripts."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backend.clock import SystemClock
from backend.cluster_access import REGISTRY
from backend.executors.base import AttemptKey, AttemptSpec, Observation
from backend.executors.kubernetes import KubernetesExecutor, Settings, SharedVolume
from backend.executors.kubernetes.names import job_name
from backend.kube import Connection, Kube, connect
from backend.layout import Layout
from backend.run.ids import new_id
from backend.spec.model import Resources
from tests.kubernetes.cluster import CONTROL, Cluster, Faults, kubectl, version

CLAIM = "data"


def volume(cluster: Cluster) -> Path:
    """The folder of a claim of the namespace, which this machine must have; the test is skipped if it has not."""
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    cluster.apply(claim)
    bound = ("wait", "--for=jsonpath={.status.phase}=Bound", f"pvc/{CLAIM}", "--timeout=20s")
    if not cluster.kubectl(*bound, check=False) and CONTROL.exists():
        Faults().up()  # it offers volumes anew whose claims are gone
    cluster.kubectl(*bound)
    name = cluster.kubectl("get", "pvc", CLAIM, "-o", "jsonpath={.spec.volumeName}")
    path = kubectl("get", "pv", name, "-o", "jsonpath={.spec.hostPath.path}")
    if not path or not Path(path).parent.is_dir():
        pytest.skip("the cluster's volumes are not folders of this machine")
    folder = Path(path)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder


class NoLogs:
    """Copies nothing."""

    def follow(self, key: AttemptKey, pod: str) -> None: ...

    async def finish(self, key: AttemptKey, pod: str, containers: Sequence[str]) -> None: ...

    async def close(self) -> None: ...


class Bench:
    """Starts scripts, and tells what became of them."""

    def __init__(self, cluster: Cluster, folder: Path, **settings: Any) -> None:
        self.cluster = cluster
        self.run_id = new_id(SystemClock().now())
        self.layout = Layout(folder / "data")
        self.settings = replace(
            Settings(f"test-{secrets.token_hex(3)}", SharedVolume(CLAIM, "data"), REGISTRY, version(), grace=2),
            **settings,
        )
        self.said: list[Observation] = []
        self.kube: Kube
        self.executor: KubernetesExecutor
        self._changed = asyncio.Event()
        self._count = 0

    async def open(self) -> None:
        """Begin, as a daemon does."""
        self.kube = await connect(Connection(namespace=self.cluster.namespace))
        self.executor = KubernetesExecutor(self.kube, self.settings, self.layout, SystemClock(), NoLogs())
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """End, as a daemon does: what it knew is gone."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.executor.close()

    async def clean(self) -> None:
        """End, and leave nothing in the cluster."""
        await self.close()
        mine = ("-l", f"khantui.dev/instance={self.settings.instance}")
        self.cluster.kubectl("delete", "jobs", *mine, "--cascade=foreground")

    async def again(self) -> None:
        """A new daemon."""
        await self.close()
        self.said.clear()
        await self.open()

    async def _follow(self) -> None:
        async for batch in self.executor.observe():
            self.said += batch
            self._changed.set()

    async def until(self, key: AttemptKey, *states: str, words: str = "", limit: float = 60) -> Observation:
        """Wait until one of these is said of it, with these words in it."""
        try:
            async with asyncio.timeout(limit):
                while True:
                    for seen in self.said:
                        if seen.key == key and seen.state in states and words in seen.message:
                            return seen
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError([s for s in self.said if s.key == key]) from None

    async def ended(self, key: AttemptKey, limit: float = 60) -> Observation:
        return await self.until(key, "exited", "lost", limit=limit)

    def spec(self, script: str, image: str = "shell", **more: Any) -> AttemptSpec:
        """An attempt of a stage of its own."""
        self._count += 1
        given: dict[str, Any] = {
            "key": AttemptKey(self.run_id, f"s{self._count}", 1), "image": image, "argv": (), "script": script,
            "environment": {}, "inputs": (), "outputs": ("out",), "code": "", "resources": Resources(),
            "pipeline": "trial",
        }  # fmt: skip
        return AttemptSpec(**(given | more))

    async def start(self, script: str, image: str = "shell", **more: Any) -> AttemptKey:
        spec = self.spec(script, image, **more)
        await self.executor.ensure(spec)
        return spec.key

    async def run(self, script: str, image: str = "shell", **more: Any) -> Observation:
        """Run it to its end."""
        return await self.ended(await self.start(script, image, **more))

    async def good(self, script: str, image: str = "shell", **more: Any) -> str:
        """Run it to a good end: the log."""
        key = await self.start(script, image, **more)
        seen = await self.ended(key)
        assert seen.exit_code == 0, (seen, self.log(key))
        return self.log(key)

    def log(self, key: AttemptKey) -> str:
        return self.cluster.kubectl("logs", f"job/{job_name(key)}", "-c", "stage", check=False)

    def out(self, key: AttemptKey, name: str = "out") -> Path:
        return self.layout.output(*key, name)

    def pods(self, key: AttemptKey) -> list[dict[str, Any]]:
        return self.cluster.items("pods", "-l", f"job-name={job_name(key)}")


def images_missing(*names: str) -> str:
    """Which of the project's images the cluster's nodes lack; empty if none."""
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    there = {name for node in nodes for image in node["status"].get("images", ()) for name in image["names"] or ()}
    wanted = [f"{REGISTRY}/khantui-{name}:{version()}" for name in names]
    return ", ".join(name for name in wanted if name not in there)
