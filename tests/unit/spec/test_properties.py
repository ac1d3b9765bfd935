"""Lint never raises, and what it accepts can be planned and run: tried with documents that nobody thought of."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.run.create import new_run
from backend.run.state import Trigger
from backend.spec.finding import Severity
from backend.spec.graph import Plan, plan
from backend.spec.interpolate import Context, fill, resolve
from backend.spec.lint import Report, lint
from backend.spec.model import Pipeline
from backend.spec.parse import parse, read_stored
from tests.unit.spec.documents import changed, text

TRIED = settings(max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))

names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
durations = st.sampled_from(["1s", "90s", "20m", "1h30m", "2d", "0s", "soon", 5])
values = st.sampled_from([
    "x", "", "${date}", "${date - 7d}", "${date:%Y%m%d}", "${time + 1mo}", "${run.id}", "${parameters.p}", "${A}",
    "${B}", "$${x}", "${", "${date - 1q}", "${nowhere}", "${date - 99999d}", "é\u202e", 3, True,
])  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents that are mostly good: stages read what stages before them write."""
    stages: dict[str, Any] = {}
    written: list[str] = []
    for name in draw(st.lists(names, min_size=1, max_size=6, unique=True)):
        stage: dict[str, Any] = {"image": draw(st.sampled_from(["shell", "python", "duckdb", "ghcr.io/x/y:1"]))}
        stage |= draw(st.sampled_from([{"script": "true"}, {"run": ["ls", "-l"]}]))
        if written and draw(st.booleans()):
            stage["inputs"] = draw(st.lists(st.sampled_from(written), min_size=1, max_size=3, unique=True))
        if stages and draw(st.integers(0, 3)) == 0:
            stage["after"] = [draw(st.sampled_from(sorted(stages)))]
        if draw(st.integers(0, 3)) == 0:
            stage["each"] = {"N": draw(st.lists(st.sampled_from(["1", "2", "a"]), min_size=1, max_size=3))}
        if draw(st.integers(0, 3)) == 0:
            stage["timeout"] = draw(durations)
        if draw(st.integers(0, 3)) == 0:
            stage["retries"] = {"limit": draw(st.integers(-1, 60)), "delay": draw(durations), "backoff": 2}
        if draw(st.booleans()):
            stage["outputs"] = [f"{name[:40]}-out"]
            written += stage["outputs"]
        stages[name] = stage
    read = {artifact for stage in stages.values() for artifact in stage.get("inputs", ())}
    return {
        "name": draw(names),
        "parameters": {"p": {"default": draw(st.sampled_from(["1", "${date}", 2, True]))}},
        "environment": {"A": draw(values), "B": draw(values), "P": "${parameters.p}"},
        "intermediates": {artifact: {} for artifact in written if artifact in read},
        "outputs": {a: {"uri": f"file:///o/${{A}}/{a}"} if a < "m" else {} for a in written if a not in read},
        "stages": stages,
    }


def can_run(report: Report, source: str) -> None:
    """What is done with every pipeline that is stored, for one run of it."""
    pipeline, made = report.pipeline, report.plan
    assert isinstance(pipeline, Pipeline)
    assert isinstance(made, Plan)
    assert made == plan(pipeline)
    assert read_stored(source) == pipeline
    assert sorted(name for level in made.levels for name in level) == sorted(made.instances)
    assert {i.stage for i in made.instances.values()} == set(pipeline.stages)
    level = {name: number for number, names in enumerate(made.levels) for name in names}
    for instance in made.instances.values():
        assert all(level[need] < level[instance.name] for need in instance.needs)
    for moment in (datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 3, 31, 23, 59, tzinfo=UTC)):
        required = {n: (p.choices or ("x",))[0] for n, p in pipeline.parameters.items() if p.required}
        run = new_run(pipeline, made, identifier="0000000000-000000", version=1, moment=moment, now=moment,
                      parameters=required, trigger=Trigger())  # fmt: skip
        context = Context(moment, run.id, 1, pipeline.name, 1, "", run.parameters, "s")
        environment = resolve(pipeline.environment, context)
        for uri in [i.uri for i in pipeline.inputs.values()] + [o.uri for o in pipeline.outputs.values()]:
            fill(uri, context, environment)


def fits(report: Report, source: str) -> None:
    """What holds of every report, whatever was looked over."""
    lines = source.split("\n")
    for found in report.findings:
        assert 1 <= found.line <= len(lines), found
        assert 1 <= found.column <= len(lines[found.line - 1]) + 1, found
        assert found.message
        assert found.path.startswith("$")
    assert report.ok is not any(f.severity is Severity.ERROR for f in report.findings)
    assert (report.plan is not None) == (report.ok and report.pipeline is not None)
    assert report.ok is (report.plan is not None)
    if report.ok:
        can_run(report, source)


@pytest.mark.parametrize("source", ["", "[]", "{}", text(changed({"timeout": "soon"}))])
def test_of_a_stored_document_that_is_not_good_after_all_there_is_as_much_as_of_any(source: str) -> None:
    assert read_stored(source) == parse(source).pipeline


def test_documents_that_are_mostly_good() -> None:
    accepted: list[bool] = []

    @TRIED
    @given(documents())
    def look(document: dict[str, Any]) -> None:
        source = text(document)
        report = lint(source)
        fits(report, source)
        accepted.append(report.ok)

    look()
    assert min(accepted.count(True), accepted.count(False)) > 20  # or it tries less than it seems


@TRIED
@given(documents(), st.data())
def test_documents_with_a_value_that_is_something_else(document: dict[str, Any], data: st.DataObject) -> None:
    place: Any = document
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 2)) == 0:
            place[key] = data.draw(json_values)
            break
        place = place[key]
    source = json.dumps(document, indent=1)
    fits(lint(source), source)


@TRIED
@given(documents(), st.data())
def test_documents_with_a_slip_of_the_pen(document: dict[str, Any], data: st.DataObject) -> None:
    source = text(document)
    begin = data.draw(st.integers(0, len(source)))
    end = begin + data.draw(st.integers(0, 3))
    slip = data.draw(st.sampled_from(["", ",", "}", "]", '"', "'", "\n", "\\", "//x", "\0", "é", "NaN", "\ud800"]))
    source = source[:begin] + slip + source[end:]
    fits(lint(source), source)


@TRIED
@given(st.text() | st.binary().map(lambda b: b.decode(errors="replace")) | json_values.map(json.dumps))
def test_anything(source: str) -> None:
    fits(lint(source), source)
