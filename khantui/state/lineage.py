"""Who reads what: the ties between pipelines, and the graph of one before it ran, from what their documents say. Pure.

Documents are other people's: what is not as the schema has it is passed over, and nothing here raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from khantui.render.graph import Node

Kind = Literal["reads", "uses", "follows"]
Way = Literal["up", "down"]  # whom it depends on; who depends on it


class Tie(NamedTuple):
    """`user` depends on `source`: its `what` (input, stage or schedule) takes that one's `thing` (output or stage)."""

    kind: Kind
    user: str
    what: str
    source: str
    thing: str


class Row(NamedTuple):
    """A tie as one of its ends sees it: the way it goes, and whom to."""

    way: Way
    kind: Kind
    other: str
    mine: str
    theirs: str

    @property
    def words(self) -> str:
        """What it means, in words."""
        return {
            ("up", "reads"): "reads",
            ("down", "reads"): "is read by",
            ("up", "uses"): "uses a stage of",
            ("down", "uses"): "has a stage used by",
            ("up", "follows"): "starts after",
            ("down", "follows"): "starts",
        }[self.way, self.kind]


def parse(document: object) -> dict[str, Any]:
    """A document's JSON object; empty where it is none."""
    try:
        found = json.loads(document) if isinstance(document, str) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def ties_of(name: str, document: Mapping[str, Any]) -> list[Tie]:
    """What one pipeline takes of others: `from` of its inputs, and `uses` of its stages."""
    found = []
    for kind, field, part in (("reads", "from", "inputs"), ("uses", "uses", "stages")):
        for what, declared in _mapping(document.get(part)).items():
            said = _mapping(declared).get(field)
            source, slash, thing = said.partition("/") if isinstance(said, str) else ("", "", "")
            if slash:
                found.append(Tie(kind, name, what, source, thing))  # type: ignore[arg-type]
    return found


def rows_of(name: str, ties: Iterable[Tie]) -> list[Row]:
    """The ties of one pipeline: what it depends on first, then who depends on it."""
    found = set()
    for tie in ties:
        if tie.user == name:
            found.add(Row("up", tie.kind, tie.source, tie.what, tie.thing))
        if tie.source == name:
            found.add(Row("down", tie.kind, tie.user, tie.thing, tie.what))
    order: tuple[Kind, ...] = ("reads", "uses", "follows")
    return sorted(found, key=lambda r: (r.way == "down", order.index(r.kind), r.mine, r.other, r.theirs))


def reach(name: str, ties: Iterable[Tie], way: Way) -> set[str]:
    """All that depend on a pipeline ("down"), or that it depends on ("up"), through others as well."""
    follow: dict[str, set[str]] = {}
    for tie in ties:
        start, end = (tie.source, tie.user) if way == "down" else (tie.user, tie.source)
        follow.setdefault(start, set()).add(end)
    found: set[str] = set()
    left = [name]
    while left:
        fresh = follow.get(left.pop(), set()) - found
        found |= fresh
        left += fresh
    return found - {name}


def unread(name: str, document: Mapping[str, Any], ties: Iterable[Tie]) -> list[str]:
    """Outputs that no other pipeline reads."""
    read = {tie.thing for tie in ties if tie.kind == "reads" and tie.source == name}
    return [output for output in _mapping(document.get("outputs")) if output not in read]


# the graph


def nodes(
    document: Mapping[str, Any], plan: Mapping[str, Any], used: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Node]:
    """A version's stages as a graph in which all wait. `used` has other pipelines' stages, as `uses` names them."""
    stages = {
        name: {**_mapping((used or {}).get(str(_mapping(stage).get("uses")))), **_mapping(stage)}
        for name, stage in _mapping(document.get("stages")).items()
    }
    levels = [[n for n in _list(level) if isinstance(n, str)] for level in _list(plan.get("levels"))]
    owner = {n: n if n in stages else n.partition(".")[0] for level in levels for n in level}
    instances: dict[str, list[str]] = {}
    for instance, stage in owner.items():
        instances.setdefault(stage, []).append(instance)
    needs = {
        name: tuple(dict.fromkeys(i for other in others for i in instances.get(other, ())))
        for name, others in _waits(stages).items()
    }
    critical = {n for n in _list(plan.get("critical_path")) if isinstance(n, str)}
    return [
        Node(n, n, "waiting", needs.get(owner[n], ()), depth, n in critical, owner[n])
        for depth, level in enumerate(levels)
        for n in level
    ]


def stage_named(document: Mapping[str, Any], instance: str) -> tuple[str, Any]:
    """The stage that an instance is of, and what the document says of it."""
    stages = _mapping(document.get("stages"))
    name = instance if instance in stages else instance.partition(".")[0]
    return name, stages.get(name)


def pinned(pins: Mapping[str, str]) -> list[tuple[str, str, str, int]]:
    """For `pipeline/stage@version` of each pin: `pipeline/stage`, the pipeline, the stage and the version."""
    found = []
    for pin in pins.values():
        path, _, version = pin.rpartition("@")
        pipeline, _, stage = path.partition("/")
        if version.isdecimal() and stage:
            found.append((path, pipeline, stage, int(version)))
    return found


def _waits(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    writers: dict[str, list[str]] = {}
    for name, stage in stages.items():
        for artifact in _values(stage.get("outputs")):
            writers.setdefault(artifact, []).append(name)
    return {
        name: [w for a in _values(stage.get("inputs")) for w in writers.get(a, ())] + _values(stage.get("after"))
        for name, stage in stages.items()
    }


def _values(said: object) -> list[str]:
    """A list of names, the values of a mapping, or one name."""
    found = list(said.values()) if isinstance(said, dict) else [said] if isinstance(said, str) else _list(said)
    return [value for value in found if isinstance(value, str)]


def _mapping(said: object) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}


def _list(said: object) -> Sequence[Any]:
    return said if isinstance(said, (list, tuple)) else ()
