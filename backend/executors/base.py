"""What runs attempts. One protocol; `sandbox` runs them on this machine, `kubernetes` as Jobs.

An executor is told what should be and says what is: `ensure` may be called any number of times for one attempt, by
daemons that know nothing of one another, and its command still runs at most once, because everything that it makes
has a name derived from run, stage and attempt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from backend.accounts.grant import Grant, SecretRef
from backend.run.state import Reason
from backend.spec.model import Placement, Resources


class AttemptKey(NamedTuple):
    """Names an attempt, everywhere."""

    run: str
    stage: str  # the instance's name, e.g. "plot.2025"
    number: int  # from 1

    def __str__(self) -> str:
        return f"{self.run}/{self.stage}/{self.number}"


class Mount(Struct, frozen=True):
    """A file or folder the attempt sees, read-only, at `/khan/in/<name>` (or `/khan/in/<name>/<entry>`).

    Where it lies is said relative to the artifact store's root, as in its ArtifactRecord: the sandbox binds
    `Layout.artifact(location)`; on Kubernetes it is a `subPath` of the shared volume, or what the stager fetches.
    """

    name: str
    location: str
    kind: Literal["file", "folder"]
    entry: str = ""
    sha256: str = ""  # what the content must be, where it is fetched from elsewhere

    @property
    def place(self) -> str:
        """Where the attempt sees it, below `/khan/in`."""
        return f"{self.name}/{self.entry}" if self.entry else self.name


class AttemptSpec(Struct, frozen=True):
    """All that an executor needs to know to start an attempt. Nothing else reaches the stage."""

    key: AttemptKey
    image: str
    argv: tuple[str, ...]  # what to run; empty if `script` is
    script: str  # handed to the image's interpreter; empty if `argv` is
    environment: dict[str, str]  # resolved
    inputs: tuple[Mount, ...]
    outputs: tuple[str, ...]  # names; the stage writes /khan/out/<name>
    code: str  # content address of the code bundle, mounted read-only as the working folder; empty: there is none
    resources: Resources
    pipeline: str = ""
    account: str = "none"  # the pipeline's service account
    grant: Grant = Grant()  # what that declares
    timeout: float | None = None  # seconds; the controller sees to it, this is for the case that there is none
    kubernetes: Placement = Placement()
    seen: bool = False  # it was seen to run: if nothing of it is left, it must not be started again


class Observation(Struct, frozen=True):
    """What is true of an attempt. The same may be said twice."""

    key: AttemptKey
    state: Literal["waiting", "running", "exited", "lost"]
    at: datetime  # when it started (running) or ended
    exit_code: int | None = None
    reason: Reason = Reason.OK  # OK only with exit code 0
    message: str = ""  # for people: "exit 1", "killed by SIGKILL"; of one that waits: what for
    image: str = ""  # the digest of what it ran in, where that is known only then


class HeldImage(Struct, frozen=True):
    """A container image, as a machine of a cluster has it."""

    size: int  # bytes
    digest: str = ""  # "sha256:…"; of one that came from no registry none is known


class Executor(Protocol):
    """Runs attempts."""

    name: str

    async def ensure(self, spec: AttemptSpec) -> None:
        """See to it that the attempt runs or has run. Raises ExecutorError if it can never start here.

        What becomes of it comes from `observe`: at least once `exited` or `lost` after each `ensure`, also when
        the attempt had ended before.
        """
        ...

    def observe(self) -> AsyncIterator[list[Observation]]:
        """What is, as it changes, for ever. One consumer."""
        ...

    async def cancel(self, key: AttemptKey, grace: float = 10.0) -> None:
        """Ask every process of the attempt to end (SIGTERM), and after `grace` seconds make it (SIGKILL).

        Returns at once; `observe` says when it has ended. An attempt that was never started is prevented from
        starting, and observed as exited.
        """
        ...

    async def forget(self, key: AttemptKey) -> None:
        """Remove what is left of an ended attempt but its log and outputs. No error if nothing is."""
        ...

    async def sweep(self, active: Collection[str]) -> None:
        """Remove what is left of attempts of runs (ids) that are not `active`, like `forget`."""
        ...

    async def revoke(self, ref: SecretRef) -> None:
        """Remove what is kept elsewhere of one value of a secret, which no attempt is given any more."""
        ...

    async def retire(self, account: str) -> bool:
        """Remove what is kept elsewhere for a service account that is no more; False while attempts of it go on."""
        ...

    def missing_tools(self) -> dict[str, str]:
        """The images that cannot run here, and why."""
        ...

    async def identity(self, image: str, digest: str = "") -> str:
        """What an image's name stands for now: changes when that does. Raises ExecutorError if it cannot run here.

        `digest`: what an attempt was observed to run in.
        """
        ...

    def requests(self) -> Mapping[tuple[str, str], int]:
        """How many requests were sent to a cluster, if it uses one: ("create", "jobs") -> 3."""
        ...

    async def held_images(self) -> Mapping[str, HeldImage]:
        """The container images that a cluster's machines have, by reference; as far as that can be known."""
        ...

    async def close(self) -> None:
        """Let go. Attempts that run go on running."""
        ...
