"""The graph that nobody wrote down: which stage instances there are and which wait for which.

`each` is expanded here, statically, so that the width of a run is known before it starts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import product
from operator import itemgetter

from msgspec import Struct

from backend.errors import InvalidDocument
from backend.spec.model import Pipeline, Stage


class Source(Struct, frozen=True):
    """Where an instance's input comes from: an input of the pipeline, or an entry another instance writes.

    `entry` is empty where the artifact is written whole by one instance; else it is the writer's own part
    of it (`2025`), and the reader sees a folder of all entries.
    """

    artifact: str
    instance: str = ""  # empty: an input of the pipeline, from outside
    output: str = ""  # the writer's own name for it
    entry: str = ""


class Instance(Struct, frozen=True):
    """One stage, with one choice of its `each` variables."""

    name: str  # "plot", or "plot.2025" where the stage has `each`
    stage: str
    each: dict[str, str]
    needs: tuple[str, ...]  # names of the instances that must have succeeded before
    inputs: dict[str, tuple[Source, ...]]  # name in the stage -> what is put there
    outputs: dict[str, str]  # name in the stage -> artifact
    entry: str = ""  # its own part of each artifact it writes


class Plan(Struct, frozen=True):
    """How a run will go: instances in an order in which they could run one by one, and how parallel it is."""

    instances: dict[str, Instance]
    levels: tuple[tuple[str, ...], ...]  # those of one level can all run at once
    width: int  # the most instances that can run at once
    critical_path: tuple[str, ...]  # the longest chain of instances that wait for one another


class Cycle(InvalidDocument):
    """Stages that wait for one another in a circle; `path` begins and ends with the same."""

    code = "cycle"

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(f"these wait for one another: {' → '.join(path)}")
        self.path = path


def plan(pipeline: Pipeline, durations: Mapping[str, float] | None = None) -> Plan:
    """The plan of a pipeline. Raises Cycle.

    `durations` (seconds by stage, of past runs) weigh the critical path; without them every stage counts the same.
    `width` is the size of the largest level: stages of different levels may overlap, so more can run at once.
    """
    expanded = {name: expand(name, stage) for name, stage in pipeline.stages.items()}
    writers: dict[str, list[tuple[str, str, str]]] = {}  # artifact -> (instance, its name for it, entry)
    for name, stage in pipeline.stages.items():
        for alias, artifact in stage.outputs.items():
            for instance, _, entry in expanded[name]:
                writers.setdefault(artifact, []).append((instance, alias, entry))
    instances: dict[str, Instance] = {}
    for name in ordered(pipeline.stages):
        stage = pipeline.stages[name]
        needs = dict.fromkeys(w for a in stage.inputs.values() for w, _, _ in writers.get(a, ()))
        needs |= dict.fromkeys(i for other in stage.after for i, _, _ in expanded.get(other, ()))
        sources = {
            alias: tuple(Source(a, w, out, entry) for w, out, entry in writers.get(a, ())) or (Source(a),)
            for alias, a in stage.inputs.items()
        }
        for instance, each, entry in expanded[name]:
            instances[instance] = Instance(instance, name, each, tuple(needs), sources, stage.outputs, entry)
    return _shape(instances, durations or {})


def expand(name: str, stage: Stage) -> list[tuple[str, dict[str, str], str]]:
    """A stage's instances: their names, variables and entries."""
    if not stage.each:
        return [(name, {}, "")]
    found = []
    for values in product(*stage.each.values()):
        entry = ".".join(values)
        found.append((f"{name}.{entry}", dict(zip(stage.each, values, strict=True)), entry))
    return found


def waits_for(stages: Mapping[str, Stage]) -> dict[str, tuple[str, ...]]:
    """Which stages each stage waits for, from what they read and write and from `after`."""
    writers: dict[str, list[str]] = {}
    for name, stage in stages.items():
        for artifact in stage.outputs.values():
            writers.setdefault(artifact, []).append(name)
    return {
        name: tuple(
            dict.fromkeys(
                [w for a in stage.inputs.values() for w in writers.get(a, ())] + [a for a in stage.after if a in stages]
            )
        )
        for name, stage in stages.items()
    }


def ordered(stages: Mapping[str, Stage]) -> list[str]:
    """The stages in an order in which they could run one by one. Raises Cycle."""
    needs = waits_for(stages)
    left = {name: len(n) for name, n in needs.items()}
    followers: dict[str, list[str]] = {name: [] for name in stages}
    for name, waits in needs.items():
        for need in waits:
            followers[need].append(name)
    ready = deque(name for name, count in left.items() if not count)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for follower in followers[name]:
            left[follower] -= 1
            if not left[follower]:
                ready.append(follower)
    if len(order) < len(stages):
        raise Cycle(_circle(needs, set(stages).difference(order)))
    return order


def _circle(needs: Mapping[str, Iterable[str]], stuck: set[str]) -> tuple[str, ...]:
    """One circle among the stages that wait for ever, in the order in which data flows."""
    path = [min(stuck)]
    while True:
        following = next(n for n in needs[path[-1]] if n in stuck)
        if following in path:
            circle = path[path.index(following) :]
            return tuple(reversed([*circle, following])) if len(circle) > 1 else (following, following)
        path.append(following)


def _shape(instances: dict[str, Instance], durations: Mapping[str, float]) -> Plan:
    level: dict[str, int] = {}
    longest: dict[str, tuple[float, str]] = {}  # to the end of each: seconds, and which one before it
    begins: dict[str, tuple[int, tuple[float, str]]] = {}  # all instances of a stage need the same
    for name, instance in instances.items():
        if instance.stage not in begins:
            before = max(((longest[n][0], n) for n in instance.needs), key=itemgetter(0), default=(0.0, ""))
            begins[instance.stage] = 1 + max((level[n] for n in instance.needs), default=-1), before
        level[name], (seconds, previous) = begins[instance.stage]
        longest[name] = (seconds + durations.get(instance.stage, 1.0), previous)
    levels: list[list[str]] = [[] for _ in range(1 + max(level.values(), default=-1))]
    for name, number in level.items():
        levels[number].append(name)
    path: list[str] = []
    at = max(longest, key=lambda n: longest[n][0], default="")
    while at:
        path.append(at)
        at = longest[at][1]
    width = max((len(names) for names in levels), default=0)
    return Plan(instances, tuple(tuple(names) for names in levels), width, tuple(reversed(path)))
