"""Runs attempts as Kubernetes Jobs, one for each, and learns by watches what becomes of them. Nothing is polled.

A Job's name is derived from its attempt, so making it twice is refused by the API server. Whether one was ever made is
known from the Job itself, from a mark in the attempt's folder, or from the store (`AttemptSpec.seen`): one that was
made and is not there any more is lost, and never made again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from backend.accounts.grant import SecretRef
from backend.clock import Clock
from backend.errors import (
    ClusterError,
    ClusterForbidden,
    ExecutorError,
    ObjectMissing,
)
from backend.executors.base import AttemptKey, AttemptSpec, HeldImage, Observation
from backend.executors.kubernetes import access, acting, names
from backend.executors.kubernetes.capacity import Capacity
from backend.executors.kubernetes.following import Following
from backend.executors.kubernetes.gathering import gather, gathered
from backend.executors.kubernetes.manifest import image_of, job
from backend.executors.kubernetes.node_images import NodeImages, identity
from backend.executors.kubernetes.objects import Job, Pod
from backend.executors.kubernetes.reading import Ended, Need, Runs, Unknown, Waits, read
from backend.executors.kubernetes.settings import Settings, SharedVolume
from backend.executors.kubernetes.tracking import Seen, Tracked
from backend.kube import JOBS, NETWORK_POLICIES, PODS, SECRETS, SERVICE_ACCOUNTS, Kube, Resource
from backend.layout import Layout
from backend.run.state import Reason
from backend.spec.images import IMAGES, Image, without_container
from backend.spec.quantity import show_duration

log = logging.getLogger(__name__)

FORCE = 20.0  # seconds beyond the grace after which a pod that does not end is deleted without its node's word
PROVIDED = 300.0  # seconds for which what was made for a service account is taken to be there
LAG = 5.0  # seconds that news of a pod may come later than those of its Job
UNHEARD = 60.0  # seconds after which one asks for a Job that was made and never heard of again
PATIENCE = 3.0  # seconds that the cluster may be slow without anybody hearing of it
_OVER = ("Failed", "Succeeded")  # phases of pods that have ended
_LATE = timedelta(seconds=3)  # what ended longer ago than that ended when the cluster says, not just now


class Logs(Protocol):
    """Copies what containers write to the attempts' log files."""

    def follow(self, key: AttemptKey, pod: str) -> None:
        """The attempt's stage runs in that pod."""
        ...

    async def finish(self, key: AttemptKey, pod: str, containers: Sequence[str]) -> None:
        """Those containers have ended: return when all that they wrote is in the log."""
        ...

    async def close(self) -> None:
        """Stop copying."""
        ...


class KubernetesExecutor:
    """The executor `kubernetes`: everything it makes is in one namespace."""

    name = "kubernetes"

    def __init__(
        self,
        kube: Kube,
        settings: Settings,
        layout: Layout,
        clock: Clock,
        logs: Logs,
        images: Mapping[str, Image] = IMAGES,
    ) -> None:
        """Nothing is asked of the cluster before `observe`."""
        self.kube = kube
        self.settings = settings
        self._layout = layout
        self._clock = clock
        self._logs = logs
        self._images = images
        self._capacity = Capacity(kube)
        self._node_images = NodeImages(kube)
        self._tracked: dict[str, Tracked] = {}  # by the Job's name
        self._cluster = Following(kube, settings.instance, self, self._spawn)
        self._said: list[Observation] = []
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._providing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by the object's name
        self._provided: dict[str, tuple[str, float]] = {}  # objects that were seen to be there, and until when to rely

    def missing_tools(self) -> dict[str, str]:
        """The images that cannot run on a cluster."""
        return without_container(self._images)

    # the protocol

    async def observe(self) -> AsyncIterator[list[Observation]]:
        """What is, as it changes. The cluster is watched for as long as somebody listens."""
        self._spawn(self._cluster.run())
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                said, self._said = self._said, []
                yield said
        finally:
            self._stop()

    async def ensure(self, spec: AttemptSpec) -> None:
        """See to it that the attempt runs or has run."""
        tracked = self._track(spec.key)
        tracked.spec = spec
        await self._until_synced(spec.key)
        if tracked.ended is not None:
            self._say(tracked.ended)
        if tracked.over or tracked.making:
            return
        seen = self._cluster.known(tracked.name)
        if tracked.made or (seen is not None and not seen.nothing):
            tracked.made = True
            self._look(tracked)
        elif spec.seen or self._mark(spec.key).exists():
            message = "its Job vanished while no daemon looked: somebody deleted it"
            self._conclude(tracked, Ended(Reason.LOST, message))
        elif tracked.cancelled:
            self._conclude(tracked, Ended(Reason.CANCELLED, "cancelled"))
        else:
            await self._make(tracked, spec)

    async def _until_synced(self, key: AttemptKey) -> None:
        """Wait until the cluster is followed; while it is away, that is what the attempt waits for."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._cluster.synced.wait()
        except TimeoutError:
            why = self._cluster.trouble or "it is slow to answer"
            self._say(Observation(key, "waiting", self._clock.now(), message=f"waits for the cluster: {why}"))
            await self._cluster.synced.wait()

    async def cancel(self, key: AttemptKey, grace: float = 10.0) -> None:
        """Ask the attempt to end, and make it."""
        tracked = self._track(key)
        if not tracked.cancelled:
            tracked.cancelled = True
            self._spawn(self._end(tracked, grace))

    async def forget(self, key: AttemptKey) -> None:
        """Delete the Job of an ended attempt, and with it its pod."""
        tracked = self._tracked.pop(names.job_name(key), None)
        if tracked is not None:
            tracked.hush()
        self._mark(key).unlink(missing_ok=True)
        await asyncio.to_thread(shutil.rmtree, self._layout.attempt(*key) / "in", True)
        self._spawn(self._delete_forgotten(names.job_name(key)))

    async def _delete_forgotten(self, name: str) -> None:
        await self._cluster.synced.wait()
        seen = self._cluster.known(name)
        if seen is not None and seen.job is not None:
            await acting.delete(self.kube, name)

    async def sweep(self, active: Collection[str]) -> None:
        """Delete what an earlier daemon left of runs that are not `active`."""
        await self._cluster.synced.wait()
        for seen in self._cluster.all():
            key = names.key_of(seen.job.metadata.annotations) if seen.job else None
            if key is not None and key.run not in active:
                log.info("what is left of %s is deleted", key)
                await self.forget(key)

    def requests(self) -> Mapping[tuple[str, str], int]:
        """How many requests were sent to the cluster, by verb and kind."""
        return self.kube.requests.sent

    async def identity(self, image: str, digest: str = "") -> str:
        """The image's digest, where the cluster's nodes know one."""
        where, known = image_of(image, self.settings, self._images)
        return identity(where, known, await self._node_images.held(), digest)

    async def held_images(self) -> Mapping[str, HeldImage]:
        """The container images that the cluster's nodes have, where they may be read."""
        return await self._node_images.held()

    async def close(self) -> None:
        """Let go. Attempts that run go on running."""
        tasks = tuple(self._tasks)
        self._stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._logs.close()
        await self.kube.close()

    # what the cluster says

    def cares(self, name: str) -> bool:
        """See Heeds."""
        return name in self._tracked

    def changed(self, name: str) -> None:
        """See Heeds."""
        tracked = self._tracked[name]
        tracked.made = True
        self._look(tracked)

    def warned(self, name: str) -> None:
        """See Heeds."""
        self._look(self._tracked[name])

    # judging an attempt

    def _look(self, tracked: Tracked) -> None:
        """Find out where it is, and say so."""
        seen = self._cluster.of(tracked.name)
        if tracked.over or not tracked.made:
            return
        reading = read(tracked.facts(seen, self._capacity.most))
        if isinstance(reading, Ended) and tracked.verdict is None:
            self._conclude(tracked, reading)
        elif seen.nothing:
            if seen.known and not tracked.making:
                self._conclude(tracked, tracked.verdict or Ended(Reason.DELETED, "somebody deleted its Job"))
        elif isinstance(reading, Runs):
            self._runs(tracked, seen, reading)
        elif isinstance(reading, Unknown):
            self._spawn(self._look_for_pod(tracked, seen, reading))
        elif isinstance(reading, Waits) and not tracked.cancelled and tracked.verdict is None:
            self._waits(tracked, reading)

    def _runs(self, tracked: Tracked, seen: Seen, reading: Runs) -> None:
        tracked.hush()
        if seen.last is not None and reading.since is not None:
            self._logs.follow(tracked.key, seen.last.metadata.name)
        if not tracked.runs:
            tracked.runs = True
            self._say(Observation(tracked.key, "running", reading.since or self._clock.now()))
        if reading.overdue is not None:  # somebody else ends it; where its node does not answer, we see to it
            late = (reading.overdue - self._clock.now()).total_seconds() + FORCE
            loop = asyncio.get_running_loop()
            tracked.alarm = loop.call_later(max(late, 0), self._overdue, tracked, seen)

    def _overdue(self, tracked: Tracked, seen: Seen) -> None:
        if not tracked.over:
            self._spawn(self._force(tracked, seen))

    def _waits(self, tracked: Tracked, reading: Waits) -> None:
        """Say what it waits for, and give it up when it has waited for too long."""
        tracked.hush()
        if reading.message and reading.message != tracked.waiting:
            tracked.waiting = reading.message
            self._say(Observation(tracked.key, "waiting", self._clock.now(), message=reading.message))
        if reading.need is Need.ROOM and self._capacity.stale:
            self._spawn(self._ask_capacity(tracked))
        limit = self._limit(reading.need)
        if limit is None:
            return
        now = self._clock.now()
        late = (reading.since or now) + timedelta(seconds=limit)
        if now >= late:
            waited = f" (given up after {show_duration(limit)})" if limit else ""
            message = reading.message.removeprefix("waits for ") + waited
            self._spawn(self._give_up(tracked, Ended(reading.reason, message)))
        else:
            loop = asyncio.get_running_loop()
            tracked.alarm = loop.call_later((late - now).total_seconds() + 0.01, self._look, tracked)

    def _limit(self, need: Need) -> float | None:
        """Seconds that something may be in its way."""
        settings = self.settings
        return {
            Need.NOTHING: None,
            Need.ROOM: settings.room_wait,
            Need.IMAGE: settings.image_wait,
            Need.START: settings.start_wait,
            Need.HOPELESS: 0.0,
        }[need]

    async def _ask_capacity(self, tracked: Tracked) -> None:
        await self._capacity.ask()
        self._look(tracked)

    async def _look_for_pod(self, tracked: Tracked, seen: Seen, reading: Unknown) -> None:
        """Its Job has ended, and no pod is known: news of the pod may only be late."""
        await asyncio.sleep(LAG)
        if tracked.over or seen.last is not None:
            return
        message = f"its pod is not there any more to say how it ended ({reading.condition})"
        self._conclude(tracked, Ended(Reason.LOST, message))

    def _conclude(self, tracked: Tracked, ended: Ended) -> None:
        """It has ended: say so as soon as its log is whole."""
        tracked.hush()
        tracked.concluding = True
        self._spawn(self._say_ended(tracked, ended))

    async def _say_ended(self, tracked: Tracked, ended: Ended) -> None:
        seen = self._cluster.known(tracked.name)
        if seen is not None and seen.last is not None and ended.containers:
            await self._logs.finish(tracked.key, seen.last.metadata.name, ended.containers)
        reason, message = ended.reason, ended.message
        if tracked.cancelled and reason is not Reason.OK:
            reason, message = Reason.CANCELLED, "cancelled"
        state = "lost" if reason is Reason.LOST else "exited"
        at = self._moment(ended.at)
        tracked.ended = Observation(tracked.key, state, at, ended.exit_code, reason, message, ended.image)  # type: ignore[arg-type]
        self._say(tracked.ended)

    def _moment(self, at: datetime | None) -> datetime:
        """When it ended: the cluster knows that only to the second."""
        now = self._clock.now()
        return at if at is not None and now - at > _LATE else now

    # making, ending, deleting

    async def _make(self, tracked: Tracked, spec: AttemptSpec) -> None:
        """Make its Job, however long the cluster is away. Raises ExecutorError."""
        if spec.grant.refused:
            raise ExecutorError(spec.grant.refused)
        manifest = job(spec, self.settings, self._images)

        def waits(message: str) -> None:
            self._say(Observation(tracked.key, "waiting", self._clock.now(), message=message))

        tracked.making = True
        try:
            await self._prepare(spec)
            await self._provide(spec, lambda: not tracked.cancelled, waits)
            if not await acting.create(self.kube, manifest, lambda: not tracked.cancelled, waits):
                self._conclude(tracked, Ended(Reason.CANCELLED, "cancelled"))
                return
        finally:
            tracked.making = False
        tracked.made = True
        self._mark(spec.key).touch()
        if tracked.cancelled:
            self._spawn(self._end(tracked, 0.0))
        elif not self._cluster.of(tracked.name).known:
            tracked.alarm = asyncio.get_running_loop().call_later(UNHEARD, self._spawn_check, tracked)

    def _spawn_check(self, tracked: Tracked) -> None:
        self._spawn(self._check_made(tracked))

    async def _check_made(self, tracked: Tracked) -> None:
        """Nothing was heard of the Job that was made: was it deleted while the cluster could not be followed?"""
        try:
            await self.kube.get(JOBS, tracked.name, Job)
        except ObjectMissing:
            if not tracked.over:
                self._conclude(tracked, Ended(Reason.DELETED, "somebody deleted its Job"))
        except ClusterError as error:
            log.warning("%s: %s", tracked.key, error.message)
            tracked.alarm = asyncio.get_running_loop().call_later(UNHEARD, self._spawn_check, tracked)

    async def _prepare(self, spec: AttemptSpec) -> None:
        """Make the folders that its pod is to see; the kubelet would make them its own."""
        folder = self._layout.attempt(*spec.key)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if isinstance(self.settings.storage, SharedVolume):
            out = folder / "out"
            out.mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(out, self.settings.user, self.settings.user)
            if gathered(spec):
                await asyncio.to_thread(gather, self._layout, spec)

    async def _provide(self, spec: AttemptSpec, wanted: Callable[[], bool], waits: acting.Waits) -> None:
        """Make what its service account stands for, before there is a pod. Raises ExecutorError."""
        grant, settings = spec.grant, self.settings
        objects: list[tuple[Resource, dict[str, Any], acting.Again]] = [
            (SECRETS, access.secret(settings, secret), "leave") for secret in grant.secrets
        ]
        if (account := access.service_account(spec.account, grant, settings)) is not None:
            objects.append((SERVICE_ACCOUNTS, account, "replace"))
        if (policy := access.policy(spec.account, grant, settings)) is not None:
            objects.append((NETWORK_POLICIES, policy, "replace"))
        now = time.monotonic()
        for resource, manifest, again in objects:
            name, digest = f"{resource.plural}/{manifest['metadata']['name']}", access.digest([manifest])
            async with self._providing[name]:  # a hundred stages that begin at once ask once
                known, until = self._provided.get(name, ("", 0.0))
                if known != digest or now > until:
                    await acting.provide(self.kube, resource, manifest, again, wanted, waits)
                    self._provided[name] = (digest, now + PROVIDED)

    async def revoke(self, ref: SecretRef) -> None:
        """Delete the Secret that holds one value of a secret."""
        name = access.secret_name(self.settings, ref)
        self._provided.pop(f"{SECRETS.plural}/{name}", None)
        await acting.delete_secret(self.kube, name)

    async def retire(self, account: str) -> bool:
        """Delete the ServiceAccount and the NetworkPolicy that were made for an account.

        Not while it may have pods: without its policy they would reach everything.
        """
        if any(t.spec is not None and t.spec.account == account and not t.over for t in self._tracked.values()):
            return False
        labels = access.selector(account, self.settings)
        if any(pod.status.phase not in _OVER for pod in await self.kube.all(PODS, Pod, {"labelSelector": labels})):
            return False
        try:
            for resource in (NETWORK_POLICIES, SERVICE_ACCOUNTS):
                await self.kube.delete_all(resource, labels)
        except ClusterForbidden as error:  # an earlier Role
            log.error("%s: %s; the Role in deploy/base/controller.yaml has what is needed", account, error.message)
        self._provided.clear()  # what was deleted is made anew when it is needed
        return True

    def _mark(self, key: AttemptKey) -> Path:
        """A file that says that its Job was made."""
        return self._layout.attempt(*key) / "job"

    async def _end(self, tracked: Tracked, grace: float) -> None:
        """End a cancelled attempt, wherever it is."""
        await self._cluster.synced.wait()
        seen = self._cluster.of(tracked.name)
        if tracked.over or tracked.making:
            return  # whoever makes its Job looks whether it was cancelled
        if not tracked.made and seen.nothing:
            self._conclude(tracked, Ended(Reason.CANCELLED, "cancelled"))
            return
        tracked.made = True
        pod = next(iter(seen.pods.values()), None)
        if pod is None or pod.status.start_time is None:
            tracked.verdict = Ended(Reason.CANCELLED, "cancelled")
            await acting.delete_pods_first(self.kube, tracked.name)
        else:
            await acting.stop(self.kube, pod)
        await asyncio.sleep(grace + FORCE)
        if not tracked.over:
            await self._force(tracked, seen)

    async def _force(self, tracked: Tracked, seen: Seen) -> None:
        await acting.force(self.kube, tracked.name, tuple(seen.pods.values()))

    async def _give_up(self, tracked: Tracked, verdict: Ended) -> None:
        """It cannot start: delete its Job, and say so once nothing of it can start any more."""
        if tracked.over or tracked.verdict is not None:
            return
        tracked.verdict = verdict
        await acting.delete_pods_first(self.kube, tracked.name)

    # bookkeeping

    def _track(self, key: AttemptKey) -> Tracked:
        name = names.job_name(key)
        if name not in self._tracked:
            self._tracked[name] = Tracked(key)
        return self._tracked[name]

    def _say(self, seen: Observation) -> None:
        self._said.append(seen)
        self._news.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("unexpected", exc_info=error)

    def _stop(self) -> None:
        """Forget everything: whoever listens next begins anew."""
        for task in tuple(self._tasks):
            task.cancel()
        for tracked in self._tracked.values():
            tracked.hush()
        self._tracked.clear()
        self._cluster.clear()
        self._said.clear()
