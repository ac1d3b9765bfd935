"""What is done to Jobs and their pods, however long the cluster is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

from backend.errors import (
    ClusterConflict,
    ClusterError,
    ClusterRefused,
    ClusterUnavailable,
    ExecutorError,
    ObjectExists,
    ObjectMissing,
)
from backend.executors.kubernetes import words
from backend.executors.kubernetes.objects import Job, Pod
from backend.kube import JOBS, PODS, SECRETS, Kube, Object
from backend.kube.resources import Resource

Again = Literal["leave", "replace"]
Waits = Callable[[str], None]

log = logging.getLogger(__name__)

FULL = 10.0  # seconds between two tries where a quota has no room for a Job
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0  # seconds


class Patience:
    """How long to wait before a cluster that could not be reached is asked again: longer each time."""

    def __init__(self) -> None:
        self._pause = _FIRST_PAUSE

    def after(self, error: ClusterUnavailable) -> float:
        """Seconds."""
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        return max(pause, error.retry_after)


async def create(
    kube: Kube, manifest: dict[str, Any], wanted: Callable[[], bool], waits: Callable[[str], None]
) -> bool:
    """Make a Job: whether it is there now, which it is unless it is not `wanted` any more.

    `waits` is told what it waits for. Raises ExecutorError where the cluster will never take it.
    """
    patience = Patience()
    while wanted():
        try:
            await kube.create(JOBS, manifest, Job)
            return True
        except ObjectExists:
            return True
        except ClusterUnavailable as error:
            pause = patience.after(error)
            log.warning("%s: %s; again in %.1f s", manifest["metadata"]["name"], error.message, pause)
            waits(f"waits for the cluster: {error.message}")
        except ClusterRefused as error:
            message = words.quota(error.message)
            if not message:
                raise ExecutorError(error.message, hint=error.hint) from error
            waits(message)
            pause = FULL
        except ClusterError as error:
            raise ExecutorError(error.message, hint=error.hint) from error
        await asyncio.sleep(pause)
    return False


async def provide(
    kube: Kube, resource: Resource, manifest: dict[str, Any], again: Again, wanted: Callable[[], bool], waits: Waits
) -> None:
    """See to it that an object is there, and is as it should be. Raises ExecutorError."""
    patience, name = Patience(), str(manifest["metadata"]["name"])
    while wanted():
        try:
            try:
                await kube.create(resource, manifest, Object)
            except ObjectExists:
                if again == "replace":
                    await kube.replace(resource, name, manifest, Object)
            return
        except (ClusterUnavailable, ObjectMissing, ClusterConflict) as error:  # or somebody deletes it at this moment
            pause = patience.after(error) if isinstance(error, ClusterUnavailable) else _FIRST_PAUSE
            waits(f"waits for the cluster: {error.message}")
            await asyncio.sleep(pause)
        except ClusterError as error:
            hint = error.hint or "the Role in deploy/base/controller.yaml has what the daemon needs"
            raise ExecutorError(error.message, hint=hint) from error


async def delete_secret(kube: Kube, name: str) -> None:
    """Delete a Secret."""
    await _insist(lambda: kube.delete(SECRETS, name))


async def delete(kube: Kube, job: str) -> None:
    """Delete a Job, and with it its pod."""
    await _insist(lambda: kube.delete(JOBS, job))


async def delete_pods_first(kube: Kube, job: str) -> None:
    """Delete a Job, which is gone only when its pod is: until then something of it might still start."""
    await _insist(lambda: kube.delete(JOBS, job, first=True))


async def stop(kube: Kube, pod: Pod) -> None:
    """Have a pod's node end it."""
    # a pod past its deadline ends like one that is deleted, and stays: its log can be read
    change = {"spec": {"activeDeadlineSeconds": 1}}
    await _insist(lambda: kube.patch(PODS, pod.metadata.name, change, Pod))


async def force(kube: Kube, job: str, pods: Iterable[Pod]) -> None:
    """Their node does not answer: take a Job's pods off the books, and delete it."""
    for pod in pods:
        log.warning("pod %s does not end: it is deleted without its node's word", pod.metadata.name)
        await _insist(lambda of=pod.metadata: kube.delete(PODS, of.name, uid=of.uid, grace=0))  # type: ignore[misc]
    await delete_pods_first(kube, job)


async def _insist(call: Callable[[], Awaitable[object]]) -> None:
    """Have it done. What is not there any more needs nothing."""
    patience = Patience()
    while True:
        try:
            await call()
            return
        except (ObjectMissing, ClusterConflict):
            return
        except ClusterUnavailable as error:
            pause = patience.after(error)
            log.warning("%s; again in %.1f s", error.message, pause)
            await asyncio.sleep(pause)
        except ClusterError as error:
            log.error("%s", error.message)
            return
