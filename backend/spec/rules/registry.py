"""What a rule is: a function from a document and its surroundings to findings, with the codes it gives."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct, field

from backend.spec.finding import Severity
from backend.spec.images import IMAGES, Image
from backend.spec.model import Pipeline, Stage
from backend.spec.reader import Path

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


class Other(Struct, frozen=True):
    """Another pipeline, as far as one can read its outputs and use its stages."""

    outputs: tuple[str, ...]
    stages: dict[str, Stage]
    reads: tuple[str, ...] = ()  # pipelines that it reads in turn


class Surroundings(Struct, frozen=True):
    """What lint knows besides the document. None is 'not known': rules that need it stay silent."""

    images: Mapping[str, Image] = field(default_factory=lambda: IMAGES)
    missing: Mapping[str, str] = {}  # image -> why it cannot run here
    code: Mapping[str, int] | None = None  # file -> bytes
    others: Mapping[str, Other] | None = None
    accounts: tuple[str, ...] | None = None
    missing_secrets: Mapping[str, tuple[str, ...]] = {}  # account -> secrets that it declares and that are not there
    named_hosts: Mapping[str, tuple[str, ...]] = {}  # account -> destinations of its that are names
    executor: str = ""
    channels: frozenset[str] | None = None  # names of those that hear of what happens


class Remark(Struct, frozen=True):
    """A finding, before it has its place in the text."""

    code: str
    path: Path
    message: str
    suggestion: str = ""
    severity: Severity = ERROR
    key: bool = False


Rule = Callable[[Pipeline, Surroundings], Iterator[Remark]]
RULES: list[Rule] = []
CODES: dict[str, str] = {
    "syntax": "The text is not JSON: a comma too many or too few, quotes, brackets, comments.",
    "duplicate-key": "The same key twice in one object; JSON would silently keep one of them.",
    "unknown-key": "A key that means nothing here, often a slip of the pen.",
    "missing-key": "Something that must be there is not.",
    "wrong-type": "A value of another type than the field has.",
    "bad-name": "A name with signs that names cannot have.",
    "bad-value": "A value out of its range.",
    "bad-duration": "No duration: write 90s, 20m, 1h30m.",
    "bad-quantity": "No quantity: write 500m of cpu, 512Mi of memory.",
}


def rule(**codes: str) -> Callable[[Rule], Rule]:
    """Registers a rule with the codes it gives and what each means (underscores stand for dashes)."""

    def register(function: Rule) -> Rule:
        RULES.append(function)
        CODES.update({code.replace("_", "-"): meaning for code, meaning in codes.items()})
        return function

    return register


def meant(name: str, known: Iterable[str]) -> str:
    """A suggestion: the nearest of the known names, or all of them where none is near."""
    names = sorted(known, key=lambda other: abs(len(other) - len(name)))[:500]  # looking at each takes a while
    close = difflib.get_close_matches(name, names, 1, 0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(sorted(names)[:12])}" if names else ""


def open_ended(pipeline: Pipeline, kind: Literal["inputs", "outputs"]) -> bool:
    """Whether a stage is another pipeline's that is not known here, and may read or write anything."""
    return any(stage.uses and not getattr(stage, kind) for stage in pipeline.stages.values())


def stages(pipeline: Pipeline) -> Iterator[tuple[Path, str, Stage]]:
    """Each stage with its path."""
    for name, stage in pipeline.stages.items():
        yield ("stages", name), name, stage
