"""What the executor keeps in mind of a Job, and of an attempt that it was told to see to."""

from __future__ import annotations

import asyncio

from backend.executors.base import AttemptKey, AttemptSpec, Observation
from backend.executors.kubernetes.names import job_name
from backend.executors.kubernetes.objects import Event, Job, Pod
from backend.executors.kubernetes.reading import Ended, Facts


class Seen:
    """What the cluster has of one Job, by its name."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.known = False  # the cluster has told of it, if only that it is gone
        self.pods: dict[str, Pod] = {}  # by uid: those that are there. There is never more than one that runs
        self.last: Pod | None = None  # the newest of them, also when it is gone
        self.warnings: dict[str, Event] = {}  # by uid

    @property
    def nothing(self) -> bool:
        """Whether nothing of it is there any more."""
        return self.job is None and not self.pods

    def is_pod(self, pod: Pod) -> None:
        """A pod of it is, or was last, like this."""
        self.pods[pod.metadata.uid] = pod
        self.last = pod

    def is_gone(self, pod: Pod) -> None:
        """A pod of it is not there any more."""
        self.pods.pop(pod.metadata.uid, None)
        if self.last is None or self.last.metadata.uid == pod.metadata.uid:
            self.last = pod


class Tracked:
    """An attempt that was ensured or cancelled, until it is forgotten."""

    def __init__(self, key: AttemptKey) -> None:
        self.key = key
        self.name = job_name(key)
        self.spec: AttemptSpec | None = None
        self.making = False  # its Job is being made
        self.made = False  # its Job was made or seen: it must not be made again
        self.cancelled = False
        self.verdict: Ended | None = None  # how it counts once its Job is gone: the executor gave it up itself
        self.waiting = ""  # what was said last that it waits for
        self.runs = False  # it was said to run
        self.concluding = False
        self.ended: Observation | None = None
        self.alarm: asyncio.TimerHandle | None = None

    @property
    def over(self) -> bool:
        """Whether there is nothing to be found out any more."""
        return self.concluding or self.ended is not None

    def facts(self, seen: Seen, most: dict[str, float]) -> Facts:
        """All that is known of it. `most`: what nodes have, see Facts."""
        spec = self.spec
        return Facts(
            job=seen.job,
            pod=seen.last,
            gone=seen.last is not None and seen.last.metadata.uid not in seen.pods,
            memory=spec.resources.memory if spec else None,
            timeout=spec.timeout if spec else None,
            needs=needs(spec) if spec else {},
            most=most,
            warnings=tuple(seen.warnings.values()),
        )

    def hush(self) -> None:
        """No alarm any more."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


def needs(spec: AttemptSpec) -> dict[str, float]:
    """What an attempt's pod asks for: resource -> how much, in cores, bytes or pieces."""
    asked: dict[str, float | None] = {
        "cpu": spec.resources.cpu,
        "memory": spec.resources.memory,
        "ephemeral-storage": spec.kubernetes.ephemeral_storage,
        **spec.kubernetes.devices,
    }
    return {name: amount for name, amount in asked.items() if amount is not None}
