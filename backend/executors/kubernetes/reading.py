"""What a Job, its pod and the warnings about them say of an attempt. Pure; the words are in `words`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import Enum

import msgspec
from msgspec import Struct

from backend.executors.endings import exited
from backend.executors.kubernetes import words
from backend.executors.kubernetes.manifest import FETCH, PUBLISH, STAGE
from backend.executors.kubernetes.node_images import repository
from backend.executors.kubernetes.objects import ContainerState, Event, Job, Pod, Terminated
from backend.run.state import Reason

VANISHED = "ContainerStatusUnknown"  # the kubelet's word for a container that it cannot find any more


class Need(Enum):
    """What a pod that cannot start lacks, and so how long it may."""

    NOTHING = "nothing"  # it is only on its way
    ROOM = "room"  # a node, a quota: comes by itself when others have ended
    IMAGE = "image"
    START = "start"  # a Secret, a volume, …: somebody must do something
    HOPELESS = "hopeless"  # a policy forbids it


class Waits(Struct, frozen=True):
    """It has not started; `message` is empty where all goes well. `reason` is why it failed, should it never start."""

    need: Need = Need.NOTHING
    message: str = ""
    reason: Reason = Reason.START
    since: datetime | None = None


class Runs(Struct, frozen=True):
    """Its command runs, or something beside it; `overdue`: its pod is to be gone by then."""

    since: datetime | None
    overdue: datetime | None = None


class Ended(Struct, frozen=True):
    """Its command has ended, or never will run."""

    reason: Reason
    message: str = ""
    exit_code: int | None = None
    at: datetime | None = None
    containers: tuple[str, ...] = ()  # those whose logs are wanted: the stage, and a helper that failed
    image: str = ""  # what a command that has succeeded ran in: "sha256:…"; empty if that is not known


class Unknown(Struct, frozen=True):
    """The Job has ended, and its pod is not there to say how."""

    condition: str


Reading = Waits | Runs | Ended | Unknown


class Facts(Struct, frozen=True):
    """What is known."""

    job: Job | None
    pod: Pod | None  # as it is, or was last
    gone: bool  # the pod is not there any more
    memory: int | None = None  # the stage's limit, bytes
    timeout: float | None = None  # the stage's, seconds
    needs: dict[str, float] = {}  # resource -> what the pod asks for
    most: dict[str, float] = {}  # resource -> the most that any node has of it; empty: not known
    warnings: tuple[Event, ...] = ()


def read(facts: Facts) -> Reading:
    """What became of the attempt, as far as one can see."""
    pod = facts.pod
    if pod is None:
        return _without_pod(facts)
    if ended := _ended(facts, pod):
        return ended
    if facts.gone:
        reason, message = _gone(facts, pod)
        return Ended(reason, message, containers=_ran(pod))
    running = pod.container(STAGE).running or pod.container(PUBLISH).running
    if running is not None or pod.container(STAGE).terminated is not None:
        return Runs(running.started_at if running else None, pod.metadata.deletion_timestamp)
    return _waits(facts, pod)


def _without_pod(facts: Facts) -> Reading:
    if facts.job is not None and (ended := facts.job.ended):
        return Unknown(ended.reason)
    for event in reversed(facts.warnings):
        if event.reason == "FailedCreate":
            since = facts.job.metadata.creation_timestamp if facts.job else None
            if message := words.quota(event.message):
                return Waits(Need.ROOM, message, Reason.QUOTA, since)
            missing, message = words.refused(event.message)
            return Waits(Need.START if missing else Need.HOPELESS, message, Reason.REFUSED, since)
    return Waits()


def _ended(facts: Facts, pod: Pod) -> Ended | None:
    """How it ended, if it has: all that matters of the pod is over."""
    status = pod.status
    fetch, stage, publish = (pod.container(name).terminated for name in (FETCH, STAGE, PUBLISH))
    ran = _ran(pod)
    code = stage.exit_code if stage else None
    if status.reason == "DeadlineExceeded" and (stage is not None or status.phase == "Failed"):
        return Ended(Reason.TIMEOUT, words.too_long(facts.timeout), code, _at(stage), ran)
    if stage is not None and stage.exit_code != 0:
        return _failed(facts, pod, stage, ran)
    if fetch is not None and fetch.exit_code != 0:
        reason, message = _helper(pod, fetch, "the inputs could not be fetched", Reason.MISSING_INPUT)
        return Ended(reason, message, None, _at(fetch), ran)
    if stage is not None and publish is not None and publish.exit_code != 0:
        reason, message = _helper(pod, publish, "the outputs could not be published", Reason.PUBLISH)
        return Ended(reason, message, 0, _at(publish), ran)
    if stage is not None and (publish is not None or not _has(pod, PUBLISH)):
        return Ended(Reason.OK, "", 0, _at(publish or stage), ran, _digest(pod))
    if status.phase in ("Failed", "Succeeded"):  # the node says so, without a container that ran
        reason, message = words.rejected(pod)
        return Ended(reason, message, None, None, ran)
    return None


def _failed(facts: Facts, pod: Pod, stage: Terminated, ran: tuple[str, ...]) -> Ended:
    at, code = _at(stage), stage.exit_code
    if stage.reason == "OOMKilled":
        return Ended(Reason.MEMORY, words.out_of_memory(facts.memory), code, at, ran)
    if stage.reason in ("StartError", "ContainerCannotRun"):
        return Ended(Reason.START, words.not_started(stage.message), None, at, ran)
    if stage.reason == VANISHED:
        return Ended(Reason.NODE_LOST, words.vanished(pod), None, at, ran)
    if pod.status.reason or pod.metadata.deletion_timestamp or pod.condition("DisruptionTarget"):
        reason, message = _gone(facts, pod)
        return Ended(reason, message, code, at, ran)
    reason, message = exited(code)
    return Ended(reason, message, code, at, ran)


def _gone(facts: Facts, pod: Pod) -> tuple[Reason, str]:
    reason, message = words.gone(pod)
    if reason is Reason.DELETED and (facts.job is None or facts.job.metadata.deletion_timestamp):
        return reason, "somebody deleted its Job"
    return reason, message


def _waits(facts: Facts, pod: Pod) -> Waits:
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        message = words.unschedulable(scheduled.message, facts.needs, facts.most)
        return Waits(Need.ROOM, message, Reason.UNSCHEDULABLE, scheduled.last_transition_time)
    since = scheduled.last_transition_time if scheduled else pod.metadata.creation_timestamp
    for name in (FETCH, STAGE, PUBLISH):
        waiting = pod.container(name).waiting
        if waiting is None:
            continue
        if message := words.image(waiting.reason, waiting.message, _image(pod, name)):
            hopeless = waiting.reason == "InvalidImageName"
            return Waits(Need.HOPELESS if hopeless else Need.IMAGE, message, Reason.IMAGE, since)
        if waiting.reason not in ("", "ContainerCreating", "PodInitializing"):
            return Waits(Need.START, words.creation(waiting.reason, waiting.message), Reason.START, since)
    for event in reversed(facts.warnings):
        if message := words.trouble(event):
            return Waits(Need.START, message, Reason.START, since)
    return Waits()


def _helper(pod: Pod, ended: Terminated, failed: str, reason: Reason) -> tuple[Reason, str]:
    """What the stager left as its last words."""
    if ended.reason == VANISHED:
        return Reason.NODE_LOST, words.vanished(pod)
    if not ended.message and (pod.metadata.deletion_timestamp or pod.condition("DisruptionTarget")):
        return words.gone(pod)
    try:
        said = msgspec.json.decode(ended.message, type=LastWords)
        known = {str(each): each for each in Reason}
        return known.get(said.reason, reason), said.message
    except msgspec.DecodeError:
        pass
    if ended.reason == "OOMKilled":
        return reason, f"{failed}: out of memory"
    return reason, f"{failed}: {exited(ended.exit_code)[1]} {ended.message[-300:]}".rstrip()


class LastWords(Struct, frozen=True):
    """What the stager writes to its termination log."""

    reason: str = ""
    message: str = ""


def _at(ended: Terminated | None) -> datetime | None:
    return ended.finished_at if ended else None


def _has(pod: Pod, name: str) -> bool:
    return any(s.name == name for s in (*pod.status.init_container_statuses, *pod.status.container_statuses))


def _ran(pod: Pod) -> tuple[str, ...]:
    """The containers whose logs are wanted: helpers are heard only where they failed."""
    states = {name: pod.container(name) for name in (FETCH, STAGE, PUBLISH)}
    return tuple(
        name
        for name, state in states.items()
        if _has_run(state) and (name == STAGE or (state.terminated is not None and state.terminated.exit_code != 0))
    )


def _has_run(state: ContainerState) -> bool:
    ended = state.terminated
    return state.running is not None or (ended is not None and ended.reason not in ("StartError", "ContainerCannotRun"))


def _digest(pod: Pod) -> str:
    """The digest of the stage's image, if it was pulled: of others the node makes one up."""
    for status in pod.status.container_statuses:
        of, found, digest = status.image_id.rpartition("@")
        if status.name == STAGE and found and repository(of) == repository(status.image):
            return digest
    return ""


def _image(pod: Pod, name: str) -> str:
    statuses: Iterable[str] = (
        s.image for s in (*pod.status.init_container_statuses, *pod.status.container_statuses) if s.name == name
    )
    return next(iter(statuses), "")
