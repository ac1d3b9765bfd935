"""Keeps up with what the cluster has: Jobs, their pods, and warnings about them. By watches; nothing is polled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from backend.executors.kubernetes import names
from backend.executors.kubernetes.objects import Event, Job, Pod
from backend.executors.kubernetes.tracking import Seen
from backend.kube import EVENTS, JOBS, PODS, Change, Informer, Kube


class Heeds(Protocol):
    """Whoever wants to know."""

    def cares(self, name: str) -> bool:
        """Whether that Job is one it sees to."""
        ...

    def changed(self, name: str) -> None:
        """A Job it cares for, or a pod of it, came, changed or went."""
        ...

    def warned(self, name: str) -> None:
        """There is a warning about a Job it cares for."""
        ...


class Following:
    """All that the cluster has said of one instance's Jobs, by their names."""

    def __init__(
        self, kube: Kube, instance: str, heeds: Heeds, spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        """Nothing is asked of the cluster before `run`, which goes on in tasks that `spawn` keeps."""
        self.synced = asyncio.Event()
        self._seen: dict[str, Seen] = {}
        self._kube = kube
        self._instance = instance
        self._heeds = heeds
        self._spawn = spawn
        self._informers: tuple[Informer[Any], ...] = ()

    def of(self, name: str) -> Seen:
        """What is known of a Job: kept, and added to from now on."""
        return self._seen.setdefault(name, Seen())

    def known(self, name: str) -> Seen | None:
        """What is known of a Job, if anything is."""
        return self._seen.get(name)

    def all(self) -> tuple[Seen, ...]:
        """What is known of every Job."""
        return tuple(self._seen.values())

    @property
    def trouble(self) -> str:
        """Why the cluster cannot be followed now; empty where nothing is known to be in the way."""
        return next((t for informer in self._informers if (t := informer.trouble)), "")

    async def run(self) -> None:
        """Begin; `synced` is set when all that was there has been heard of."""
        selector = names.selector(self._instance)
        jobs = Informer(self._kube, JOBS, Job, labels=selector)
        pods = Informer(self._kube, PODS, Pod, labels=selector)
        # warnings have no labels: those about others are dropped as they come
        events = Informer(self._kube, EVENTS, Event, fields="type=Warning", keep=lambda e: self._about(e) is not None)
        self._informers = (jobs, pods)
        for informer in self._informers:
            self._spawn(informer.run())
        await jobs.synced.wait()
        await pods.synced.wait()
        self._take(jobs, self._job_changed)
        self._take(pods, self._pod_changed)
        self.synced.set()
        self._spawn(events.run())
        self._take(events, self._warned)

    def clear(self) -> None:
        """Forget everything."""
        self._seen.clear()
        self.synced.clear()

    def _take(self, informer: Informer[Any], heed: Callable[[Change[Any]], None]) -> None:
        """Heed all that was listed now, and every change from now on as it comes."""
        for item in informer.objects.values():
            heed(Change(item))

        async def follow() -> None:
            async for changes in informer.changes():
                for change in changes:
                    heed(change)

        self._spawn(follow())

    def _job_changed(self, change: Change[Job]) -> None:
        name = change.object.metadata.name
        seen = self.of(name)
        seen.job = None if change.gone else change.object
        seen.known = True
        self._changed(name, seen)

    def _pod_changed(self, change: Change[Pod]) -> None:
        name = change.object.metadata.labels.get(names.JOB_NAME, "")
        seen = self.of(name)
        if change.gone:
            seen.is_gone(change.object)
        else:
            seen.is_pod(change.object)
        self._changed(name, seen)

    def _changed(self, name: str, seen: Seen) -> None:
        if self._heeds.cares(name):
            self._heeds.changed(name)
        elif seen.nothing:
            self._seen.pop(name, None)

    def _warned(self, change: Change[Event]) -> None:
        name = self._about(change.object)
        if name is None or change.gone:
            return
        self.of(name).warnings[change.object.metadata.uid] = change.object
        if self._heeds.cares(name):
            self._heeds.warned(name)

    def _about(self, event: Event) -> str | None:
        """The Job that a warning is about, if it is one of ours."""
        of = event.involved_object
        name = of.name if of.kind == "Job" else of.name.rpartition("-")[0]
        return name if name in self._seen or self._heeds.cares(name) else None
