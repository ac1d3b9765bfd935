"""A pipeline document as values: what the JSON says after it has parsed, before anything is filled in.

Everything here is frozen and holds exactly what the author wrote, normalised: `inputs` and `outputs` of a
stage are always mappings from the name that the stage uses to the artifact's name (a list in the document
maps each name to itself), durations are seconds, and `run`/`script` are as written.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field


class Parameter(Struct, frozen=True, omit_defaults=True):
    """A value that whoever starts a run may choose. Without a default it must be given."""

    default: str | None = None
    choices: tuple[str, ...] = ()
    description: str = ""

    @property
    def required(self) -> bool:
        """Whether a run cannot start without it."""
        return self.default is None


class Input(Struct, frozen=True, omit_defaults=True):
    """An artifact from outside (`uri`) or the latest good output of another pipeline (`pipeline/output`)."""

    uri: str = ""
    from_: str = field(name="from", default="")


class Intermediate(Struct, frozen=True, omit_defaults=True):
    """An artifact that only the stages of this pipeline pass between themselves."""

    keep: float | None = None  # seconds


class Output(Struct, frozen=True, omit_defaults=True):
    """An artifact that is a result; copied to `uri`, if any, when the stage that writes it has succeeded."""

    uri: str = ""
    keep: float | None = None  # seconds


class Retries(Struct, frozen=True, omit_defaults=True):
    """How often, and after which pause, a failed attempt is followed by another."""

    limit: int = 0
    delay: float = 0.0  # seconds before the second attempt
    backoff: float = 1.0  # each further pause is this much longer
    max_delay: float = 3600.0

    def pause(self, failed: int) -> float:
        """Seconds to wait after the `failed`th failure (from 1) before the next attempt."""
        try:
            grown = self.delay * self.backoff ** (failed - 1)
        except OverflowError:
            return self.max_delay
        return min(grown, self.max_delay)


class Resources(Struct, frozen=True, omit_defaults=True):
    """What a stage may use. Quantities are Kubernetes': cpu in cores, memory in bytes."""

    cpu: float | None = None  # cores
    memory: int | None = None  # bytes


class Toleration(Struct, frozen=True, omit_defaults=True):
    """A taint of nodes that is put up with, in Kubernetes' words."""

    key: str = ""  # empty: any
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: str = ""  # empty: any
    seconds: float | None = None  # with NoExecute: how long


class Placement(Struct, frozen=True, omit_defaults=True):
    """How a stage's pod is placed and marked on Kubernetes. The sandbox takes no notice of it."""

    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str = ""
    image_pull_policy: str = ""
    image_pull_secrets: tuple[str, ...] = ()
    ephemeral_storage: int | None = None  # bytes
    devices: dict[str, int] = {}  # extended resources: "nvidia.com/gpu" -> 1
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}

    def over(self, other: Placement) -> Placement:
        """This one, with what it leaves open taken from `other`; labels and the like from both."""
        return Placement(
            node_selector={**other.node_selector, **self.node_selector},
            tolerations=self.tolerations or other.tolerations,
            priority_class=self.priority_class or other.priority_class,
            image_pull_policy=self.image_pull_policy or other.image_pull_policy,
            image_pull_secrets=self.image_pull_secrets or other.image_pull_secrets,
            ephemeral_storage=other.ephemeral_storage if self.ephemeral_storage is None else self.ephemeral_storage,
            devices=self.devices or other.devices,
            labels={**other.labels, **self.labels},
            annotations={**other.annotations, **self.annotations},
        )


class Stage(Struct, frozen=True, omit_defaults=True):
    """One container: an image, what it runs, and which artifacts it reads and writes."""

    image: str = ""
    run: tuple[str, ...] = ()
    script: str = ""
    inputs: dict[str, str] = {}  # name in the stage -> artifact
    outputs: dict[str, str] = {}  # name in the stage -> artifact
    after: tuple[str, ...] = ()
    each: dict[str, tuple[str, ...]] = {}
    retries: Retries = Retries()
    timeout: float | None = None  # seconds
    resources: Resources = Resources()
    kubernetes: Placement = Placement()
    uses: str = ""  # "other-pipeline/stage"
    cache: bool | None = None  # None: as the pipeline says
    description: str = ""


class Concurrency(Struct, frozen=True, omit_defaults=True):
    """How many runs of the pipeline may be active at once, and what becomes of one more."""

    limit: int | None = None
    when_full: Literal["queue", "skip", "replace"] = "queue"


class Retention(Struct, frozen=True, omit_defaults=True):
    """Which ended runs are removed by and by; None: none for that reason."""

    runs: int | None = None  # those beyond so many
    age: float | None = None  # seconds; those that ended longer ago


class Pipeline(Struct, frozen=True, omit_defaults=True):
    """A whole document."""

    name: str
    stages: dict[str, Stage]
    description: str = ""
    owner: str = ""
    labels: dict[str, str] = {}
    parameters: dict[str, Parameter] = {}
    environment: dict[str, str] = {}
    service_account: str = "none"
    code: tuple[str, ...] = ()
    inputs: dict[str, Input] = {}
    intermediates: dict[str, Intermediate] = {}
    outputs: dict[str, Output] = {}
    concurrency: Concurrency = Concurrency()
    timeout: float | None = None  # seconds, of a whole run
    kubernetes: Placement = Placement()  # of all stages, unless they say it differently
    notify: dict[str, tuple[str, ...]] = {}
    retention: Retention | None = None  # None: as the daemon is told
    cache: bool = False  # of all stages that have outputs, unless they say it differently

    def caches(self, stage: str) -> bool:
        """Whether an earlier result may stand for this stage, if it was made from the same."""
        found = self.stages[stage]
        if found.cache is None:  # one without outputs is there for what it does, not for what it makes
            return self.cache and bool(found.outputs)
        return found.cache
