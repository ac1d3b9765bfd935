"""What is read of Jobs, pods, nodes and events."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from backend.kube import Object


class Condition(Struct, frozen=True, rename="camel"):
    """Something that is so, or not, and why."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class JobStatus(Struct, frozen=True, rename="camel"):
    """Where a Job is."""

    conditions: tuple[Condition, ...] = ()


class Job(Object, frozen=True, rename="camel"):
    """A Job."""

    status: JobStatus = JobStatus()

    @property
    def ended(self) -> Condition | None:
        """The condition that says that it has ended, well or not."""
        return next(
            (c for c in self.status.conditions if c.type in ("Complete", "Failed") and c.status == "True"), None
        )


class Waiting(Struct, frozen=True):
    """A container that has not started."""

    reason: str = ""
    message: str = ""


class Running(Struct, frozen=True, rename="camel"):
    """A container that runs."""

    started_at: datetime | None = None


class Terminated(Struct, frozen=True, rename="camel"):
    """A container that has ended; `message` is what it left as its last words."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


class ContainerState(Struct, frozen=True):
    """One of the three."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct, frozen=True, rename={"image_id": "imageID"}):
    """How one of a pod's containers fares."""

    name: str = ""
    image: str = ""
    image_id: str = ""  # with the digest, once it was pulled
    state: ContainerState = ContainerState()


class PodSpec(Struct, frozen=True, rename="camel"):
    """What the scheduler decided."""

    node_name: str = ""


class PodStatus(Struct, frozen=True, rename="camel"):
    """Where a pod is."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object, frozen=True, rename="camel"):
    """A pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def container(self, name: str) -> ContainerState:
        """The state of one of its containers."""
        statuses = (*self.status.init_container_statuses, *self.status.container_statuses)
        return next((s.state for s in statuses if s.name == name), ContainerState())

    def condition(self, kind: str) -> Condition | None:
        """A condition, if it is there."""
        return next((c for c in self.status.conditions if c.type == kind), None)


class Reference(Struct, frozen=True):
    """Which object an event is about."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Event(Object, frozen=True, rename="camel"):
    """Something that happened to an object."""

    involved_object: Reference = Reference()
    reason: str = ""
    message: str = ""


class NodeImage(Struct, frozen=True, rename="camel"):
    """A container image that a node has, by all its names; one that lost its last name has none."""

    names: list[str] | None = None
    size_bytes: int = 0


class NodeStatus(Struct, frozen=True):
    """What a node has."""

    allocatable: dict[str, str] = {}
    images: list[NodeImage] = []


class Node(Object, frozen=True):
    """A node."""

    status: NodeStatus = NodeStatus()
