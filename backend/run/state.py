"""What is known of a run, its stages and attempts: the values kept in etcd, and what the API shows of them.

A run's summary is small (1 KiB at most): it is all that a list shows. Each stage of it has a record of its
own; a stage without a record has not been touched yet and is `waiting`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from msgspec import Struct


class RunState(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens, unless somebody retries it."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class StageState(StrEnum):
    """Where a stage instance of a run is."""

    WAITING = "waiting"
    QUEUED = "queued"  # all it needs is there; it waits for a free place in the executor
    RUNNING = "running"
    RETRYING = "retrying"  # an attempt failed; the next one comes at `retry_at`
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # something it needs has failed or was cancelled
    REUSED = "reused"  # an earlier run's result stands for it

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it in this run, unless somebody retries it."""
        return self in _STAGE_ENDED

    @property
    def good(self) -> bool:
        """Whether its outputs are there."""
        return self in (StageState.SUCCEEDED, StageState.REUSED)


_STAGE_ENDED = frozenset(
    (StageState.SUCCEEDED, StageState.FAILED, StageState.CANCELLED, StageState.SKIPPED, StageState.REUSED)
)


class AttemptState(StrEnum):
    """Where one try of a stage is. `starting` is written before anything is started."""

    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether its process is gone for good."""
        return self not in (AttemptState.STARTING, AttemptState.RUNNING)


class Reason(StrEnum):
    """Why an attempt ended as it did, as a word for programs; `message` says it for people."""

    OK = ""
    EXIT = "exit"  # the command returned something else than 0
    SIGNAL = "signal"
    MEMORY = "memory-limit"
    PROCESSES = "process-limit"
    CPU_TIME = "cpu-limit"
    FILE_SIZE = "file-size-limit"
    TIMEOUT = "timeout"
    RUN_TIMEOUT = "run-timeout"
    CANCELLED = "cancelled"
    REPLACED = "replaced"  # a newer run took its place (concurrency: replace)
    MISSING_OUTPUT = "missing-output"
    BAD_OUTPUT = "bad-output"  # e.g. a link that leads out of it
    MISSING_INPUT = "missing-input"
    PUBLISH = "publish-failed"
    START = "start-failed"
    LOST = "lost"  # its process vanished without a trace (the machine went down)
    # on Kubernetes
    IMAGE = "image"  # its image cannot be had
    UNSCHEDULABLE = "unschedulable"  # no node has room for it
    QUOTA = "quota"  # the namespace's quota is used up
    REFUSED = "refused"  # a policy of the cluster forbids its pod
    EVICTED = "evicted"
    NODE_LOST = "node-lost"
    DELETED = "deleted"  # somebody deleted its pod or its Job


class Trigger(Struct, frozen=True, omit_defaults=True):
    """What started a run."""

    kind: Literal["manual", "schedule", "after", "retry", "backfill"] = "manual"
    by: str = ""  # who, for manual, retry and backfill
    schedule: str = ""
    run: str = ""  # the run it follows (after) or takes up (retry --latest)
    overlap: Literal["", "queue", "skip", "replace"] = ""  # what its schedule says of a run while another is active
    backfill: str = ""  # the one that it is part of


class ArtifactRecord(Struct, frozen=True, omit_defaults=True):
    """An artifact that exists: what it is, how large, and its content hash."""

    kind: Literal["file", "folder"]
    bytes: int
    files: int
    sha256: str  # of a file, its content; of a folder, the sorted list of its files' paths and hashes
    location: str = ""  # relative to the artifact store's root
    uri: str = ""  # where it came from or was copied to, if outside


class Attempt(Struct, frozen=True, omit_defaults=True):
    """One try of one stage."""

    number: int  # from 1
    state: AttemptState = AttemptState.STARTING
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None
    reason: Reason = Reason.OK
    message: str = ""


class StageRecord(Struct, frozen=True, omit_defaults=True):
    """One stage instance of one run."""

    name: str
    state: StageState = StageState.WAITING
    ready: datetime | None = None  # when all that it needs was there
    started: datetime | None = None  # of its first attempt
    ended: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    budget: int = 0  # attempts that may be made in all; a retry by hand adds to it
    retry_at: datetime | None = None
    message: str = ""  # why it is where it is: "waits for clean", "needs by_region, which failed"
    inputs: dict[str, str] = {}  # artifact -> sha256 of what it read
    outputs: dict[str, ArtifactRecord] = {}  # artifact (this instance's own entry of it) -> what it wrote
    reused_from: str = ""  # run id
    reason: str = ""  # why it had to run, or could be reused, where earlier results may stand for it
    fingerprint: str = ""  # of what its outputs were made from, where they may stand for later ones

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt, if any was made."""
        return self.attempts[-1] if self.attempts else None


class Run(Struct, frozen=True, omit_defaults=True):
    """A run's summary."""

    id: str
    pipeline: str
    version: int
    logical_time: datetime  # aware; its zone is `zone`
    zone: str = "UTC"
    state: RunState = RunState.QUEUED
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    parameters: dict[str, str] = {}
    trigger: Trigger = Trigger()
    stages: int = 0  # how many instances its plan has
    counts: dict[str, int] = {}  # state -> how many stage instances are in it; those waiting are left out
    message: str = ""  # why it waits or failed: "by_region: exit 1", "waits for run …"
    ending: str = ""  # why it is being brought to an end while processes still run: cancelled, replaced, run-timeout
    by: str = ""  # who cancelled it
    retry_from: str = ""  # of a run that takes up another: this stage and what follows is not kept
    fresh: bool = False  # no earlier results stand for its stages
    round: int = 1  # 1, and one more for each retry by hand
    ready_at: datetime | None = None  # start of this round's clock for the run's time-out
    due_by: datetime | None = None  # when it should have ended
    late: bool = False  # it had not
