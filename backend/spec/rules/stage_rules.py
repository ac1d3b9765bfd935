"""Stages: what they run, on what, how often, and whether they ever can."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from backend.spec.graph import Cycle, expand, ordered
from backend.spec.images import is_reference
from backend.spec.model import Pipeline
from backend.spec.quantity import show_duration
from backend.spec.reader import Path
from backend.spec.rules.registry import INFO, WARNING, Remark, Surroundings, meant, open_ended, rule, stages

MOST_INSTANCES = 5_000
MOST_RETRIES = 50
LONGEST_NAME = 200  # characters of an instance's name, which is a folder's as well
LONGEST = 30 * 86_400.0
_VALUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELL = re.compile(r"[|;<>&`]|\$\(|\s&&\s")


@rule(
    missing_image="A stage that says no image.",
    unknown_image="An image that is not known.",
    image_unavailable="An image whose programs this machine lacks.",
)
def image(pipeline: Pipeline, around: Surroundings) -> Iterator[Remark]:
    """Each stage names an image that exists, and that can run here."""
    for path, _, stage in stages(pipeline):
        place = (*path, "image")
        if not stage.image:
            if not stage.uses:
                yield Remark(
                    "missing-image", path, "the stage says no image", f'"image": "python" ({", ".join(around.images)})'
                )
        elif stage.image in around.images:
            if stage.image in around.missing:
                message = f"{stage.image}: {around.missing[stage.image]}"
                yield Remark("image-unavailable", place, message, "install it there, or name another image", WARNING)
        elif not is_reference(stage.image):
            yield Remark("unknown-image", place, f"unknown image {stage.image!r}", meant(stage.image, around.images))
        elif around.executor == "sandbox":
            message = f"{stage.image} is a container image; the sandbox has only the programs of this machine"
            hint = f"it can run on Kubernetes; here: {', '.join(around.images)}"
            yield Remark("image-unavailable", place, message, hint, WARNING)


@rule(
    nothing_to_run="A stage with neither run nor script.",
    run_and_script="A stage with both run and script.",
    shell_in_run="A run that looks like a shell's line: it is not handed to a shell.",
)
def command(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Each stage runs one thing."""
    for path, _name, stage in stages(pipeline):
        if stage.run and stage.script:
            yield Remark(
                "run-and-script", (*path, "script"), "a stage has run or script, not both", "delete one", key=True
            )
        elif not stage.run and not stage.script and not stage.uses:
            yield Remark(
                "nothing-to-run", path, "the stage runs nothing", '"run": ["python3", "clean.py"] or "script": "…"'
            )
        if len(stage.run) == 1 and (" " in stage.run[0].strip() or _SHELL.search(stage.run[0])):
            message = "run is a program and its arguments; this looks like a line for a shell"
            yield Remark(
                "shell-in-run", (*path, "run"), message, f'"script": {stage.run[0]!r} with "image": "shell"', WARNING
            )


@rule(
    cycle="Stages that wait for one another in a circle.",
    unknown_stage="`after` names a stage that is not there.",
    never_starts="A stage that can never start.",
)
def order(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """There is an order in which the stages can run."""
    known = {*pipeline.inputs, *(a for s in pipeline.stages.values() for a in s.outputs.values())}
    unwritten = {*pipeline.intermediates, *pipeline.outputs} - known
    if open_ended(pipeline, "outputs"):
        unwritten = set()
    for path, name, stage in stages(pipeline):
        for index, other in enumerate(stage.after):
            if other not in pipeline.stages:
                message = f"there is no stage {other!r} to wait for"
                yield Remark("unknown-stage", (*path, "after", index), message, meant(other, pipeline.stages))
            elif other == name:
                yield Remark(
                    "never-starts", (*path, "after", index), "it waits for itself and can never start", "delete it"
                )
        lacking = [artifact for artifact in stage.inputs.values() if artifact in unwritten]
        if lacking:
            message = f"it can never start: nobody writes {' and '.join(lacking)}"
            yield Remark("never-starts", path, message, "let a stage write it, or declare it as an input", key=True)
    try:
        ordered(pipeline.stages)
    except Cycle as error:
        if len(set(error.path)) > 1:
            place = ("stages", error.path[0])
            yield Remark("cycle", place, error.message, "one of them must read something else", key=True)


@rule(
    bad_each="Values of `each` that cannot be told apart or used as names.",
    too_wide="More instances than one run may have.",
)
def each(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """`each` expands to something, and not to too much."""
    total = 0
    for path, name, stage in stages(pipeline):
        for variable, values in stage.each.items():
            place = (*path, "each", variable)
            if not _VARIABLE.fullmatch(variable):
                yield Remark("bad-each", place, f"{variable!r} cannot be a variable's name", "e.g. YEAR", key=True)
            elif variable.startswith("KHAN_"):
                message = f"{variable}: names with KHAN_ are Khantui's own"
                yield Remark("bad-each", place, message, "rename it", key=True)
            if variable in pipeline.environment:
                yield Remark("bad-each", place, f"{variable} is in the environment as well", "rename one", key=True)
            if not values:
                yield Remark("bad-each", place, "no values: the stage would never run", '"YEAR": ["2025", "2026"]')
            yield from _each_value(place, values)
        room = MOST_INSTANCES - total
        count = 1
        for values in stage.each.values():
            count = min(count * len(values), MOST_INSTANCES + 1)
        total = min(total + count, MOST_INSTANCES + 1)
        if 0 <= room < count:
            message = f"more than {MOST_INSTANCES:,} stages in one run"
            yield Remark(
                "too-wide", (*path, "each"), message, f"{MOST_INSTANCES:,} are the most: let each do more", key=True
            )
        elif count <= room and all(len(set(values)) == len(values) for values in stage.each.values()):
            yield from _names((*path, "each"), [instance for instance, _, _ in expand(name, stage)])


def _each_value(place: Path, values: tuple[str, ...]) -> Iterator[Remark]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Remark("bad-each", (*place, index), f"{value!r} is there twice", "delete one")
        elif not _VALUE.fullmatch(value):
            hint = "letters, digits, _ . and - only: it becomes part of a name"
            yield Remark("bad-each", (*place, index), f"{value!r} cannot be part of a name", hint)
        seen.add(value)


def _names(place: Path, names: list[str]) -> Iterator[Remark]:
    longest = max(names, key=len, default="")
    if len(longest) > LONGEST_NAME:
        message = f"{longest[:40]}… is a name of {len(longest)} characters"
        yield Remark("bad-each", place, message, f"{LONGEST_NAME} are the most: shorter values, or fewer variables")
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:  # 1.2 and 3, 1 and 2.3
        yield Remark("bad-each", place, f"two instances are {name}", "use values without dots")


@rule(
    senseless_retries="Retries that cannot help, or that hammer.",
    senseless_timeout="A time-out that cannot be meant.",
    senseless_resources="A limit that cannot be meant.",
)
def limits(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Limits are such as a person can mean."""
    if pipeline.timeout is not None:
        yield from _timeout(pipeline.timeout, ("timeout",))
    for path, _name, stage in stages(pipeline):
        retries, place = stage.retries, (*path, "retries")
        if retries.limit > MOST_RETRIES:
            message = f"{retries.limit} retries; {MOST_RETRIES} are the most"
            yield Remark("senseless-retries", (*place, "limit"), message, '"limit": 2 helps against passing trouble')
        if retries.limit > 3 and retries.delay == 0:
            message = f"{retries.limit} retries without a pause hammer what is failing"
            yield Remark("senseless-retries", place, message, '"delay": "10s", "backoff": 2', WARNING)
        if retries.backoff < 1:
            message = f"a backoff of {retries.backoff:g} makes each pause shorter than the one before"
            yield Remark("senseless-retries", (*place, "backoff"), message, "2 doubles each pause")
        if retries.max_delay < retries.delay:
            first, longest = show_duration(retries.delay), show_duration(retries.max_delay)
            message = f"the longest pause ({longest}) is shorter than the first ({first})"
            yield Remark("senseless-retries", (*place, "max_delay"), message, f'"max_delay": "{first}"')
        if not retries.limit and retries.delay:
            yield Remark("senseless-retries", place, "a pause but no retries", '"limit": 2', WARNING)
        if stage.timeout is not None:
            yield from _timeout(stage.timeout, (*path, "timeout"))
            if pipeline.timeout is not None and stage.timeout > pipeline.timeout:
                message = f"the stage may take longer than the whole run ({show_duration(pipeline.timeout)})"
                hint = "make one shorter or the other longer"
                yield Remark("senseless-timeout", (*path, "timeout"), message, hint, WARNING)
        if stage.resources.memory is not None and stage.resources.memory < 1 << 20:
            message = f"{stage.resources.memory} bytes of memory are too little for any program"
            yield Remark("senseless-resources", (*path, "resources", "memory"), message, "e.g. 512Mi")
        if stage.resources.cpu is not None and stage.resources.cpu <= 0:
            yield Remark("senseless-resources", (*path, "resources", "cpu"), "no cpu at all", "e.g. 500m")


def _timeout(seconds: float, path: Path) -> Iterator[Remark]:
    if seconds <= 0:
        yield Remark("senseless-timeout", path, "a time-out of 0: it would be killed at once", "e.g. 20m")
    elif seconds > LONGEST:
        message = f"{show_duration(seconds)} of waiting before anybody hears of it"
        yield Remark("senseless-timeout", path, message, "30d at most; cut the work into pieces", WARNING)


@rule(unknown_stage="`uses` names a stage that the other pipeline does not have.")
def uses(pipeline: Pipeline, around: Surroundings) -> Iterator[Remark]:
    """What is used of other pipelines is there."""
    for path, _name, stage in stages(pipeline):
        where, _, other = stage.uses.partition("/")
        if not where:
            continue
        place = (*path, "uses")
        if where == pipeline.name:
            message = "a stage cannot use one of its own pipeline"
            yield Remark("unknown-pipeline", place, message, "write the stage out, or move it to a pipeline of its own")
        elif around.others is None:
            continue
        elif where not in around.others:
            yield Remark("unknown-pipeline", place, f"there is no pipeline {where!r}", meant(where, around.others))
        elif other not in around.others[where].stages:
            yield Remark(
                "unknown-stage", place, f"{where} has no stage {other!r}", meant(other, around.others[where].stages)
            )


@rule(queue_without_limit="`when_full` without a limit says nothing.")
def concurrency(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """`when_full` goes with a limit."""
    if pipeline.concurrency.limit is None and pipeline.concurrency.when_full != "queue":
        message = "when_full says nothing without a limit"
        yield Remark("queue-without-limit", ("concurrency",), message, '"limit": 1', WARNING, key=True)


@rule(needs_parameters="A parameter without a default: schedules must give it.")
def required(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """A required parameter keeps schedules from starting the pipeline unless they give it."""
    for name, parameter in pipeline.parameters.items():
        if parameter.required:
            yield Remark("needs-parameters", ("parameters", name), f"a run must be given {name!r}",
                         'with a "default" a schedule can do without', INFO, key=True)  # fmt: skip
