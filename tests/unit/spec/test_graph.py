"""The graph that follows from what stages read and write, and how parallel it is."""

from __future__ import annotations

from typing import Any

import pytest

from backend.spec.graph import Cycle, Source, plan
from backend.spec.lint import Other, Surroundings, lint
from backend.spec.model import Pipeline, Retries, Stage
from backend.spec.uses import take
from tests.unit.spec.documents import changed, text


def stage(reads: str = "", writes: str = "", **more: Any) -> Stage:
    """A stage of artifacts named by single letters."""
    return Stage(image="shell", script="true", inputs={r: r for r in reads}, outputs={w: w for w in writes}, **more)


def pipeline(**stages: Stage) -> Pipeline:
    return Pipeline("p", stages)


def test_stages_that_share_nothing_run_at_once() -> None:
    made = plan(pipeline(a=stage(), b=stage(), c=stage()))
    assert made.levels == (("a", "b", "c"),)
    assert made.width == 3


def test_who_reads_waits_for_who_writes() -> None:
    made = plan(pipeline(join=stage("xy"), left=stage("r", "x"), right=stage("r", "y"), load=stage("", "r")))
    assert made.levels == (("load",), ("left", "right"), ("join",))
    assert made.critical_path == ("load", "left", "join")
    assert made.instances["join"].needs == ("left", "right")


def test_after_orders_stages_that_pass_nothing() -> None:
    made = plan(pipeline(b=stage(after=("a",)), a=stage()))
    assert made.levels == (("a",), ("b",))


def test_durations_weigh_the_critical_path() -> None:
    stages = {"load": stage("", "r"), "quick": stage("r", "x"), "slow": stage("r", "y"), "join": stage("xy")}
    assert plan(pipeline(**stages), {"slow": 60, "quick": 1}).critical_path == ("load", "slow", "join")


def test_each_expands_and_its_reader_gets_all_entries() -> None:
    made = plan(pipeline(part=stage("", "x", each={"Y": ("1", "2"), "Z": ("a", "b")}), join=stage("x")))
    assert list(made.instances) == ["part.1.a", "part.1.b", "part.2.a", "part.2.b", "join"]
    assert made.instances["part.2.a"].each == {"Y": "2", "Z": "a"}
    assert made.instances["join"].inputs["x"] == tuple(
        Source("x", f"part.{entry}", "x", entry) for entry in ("1.a", "1.b", "2.a", "2.b")
    )
    assert made.width == 4


def test_an_input_of_the_pipeline_has_no_writer() -> None:
    made = plan(pipeline(a=stage("r")))
    assert made.instances["a"].inputs == {"r": (Source("r"),)}


def test_a_circle_is_a_path_in_the_direction_of_the_data() -> None:
    with pytest.raises(Cycle, match="a → b → c → a"):
        plan(pipeline(a=stage("z", "x"), b=stage("x", "y"), c=stage("y", "z"), d=stage("z")))


def test_a_wide_and_deep_graph_is_planned() -> None:
    stages = {"s0": stage(), **{f"s{i}": stage(after=(f"s{i - 1}",)) for i in range(1, 2000)}}
    stages["wide"] = stage(each={"N": tuple(map(str, range(3000)))})
    made = plan(pipeline(**stages))
    assert (made.width, len(made.levels)) == (3001, 2000)


def test_uses_takes_what_is_left_open() -> None:
    used = Stage("python", ("python3", "x.py"), "", {"a": "a"}, {"b": "b"}, timeout=60.0, retries=Retries(2, 1.0))
    taken = take(Stage(uses="other/x", inputs={"a": "mine"}, timeout=5.0), used)
    assert (taken.image, taken.run) == ("python", ("python3", "x.py"))
    assert (taken.inputs, taken.outputs) == ({"a": "mine"}, {"b": "b"})
    assert (taken.timeout, taken.retries.limit) == (5.0, 2)


def test_lint_plans_with_what_uses_stand_for() -> None:
    used = Stage(image="shell", script="true", outputs={"table": "mid"})
    around = Surroundings(others={"far": Other((), {"load": used})})
    report = lint(text(changed({"stages.a": {"uses": "far/load"}})), surroundings=around)
    assert report.ok, report.findings
    assert report.summary() == {
        "stages": 2, "levels": [["a"], ["b"]], "width": 1, "critical_path": ["a", "b"]
    }  # fmt: skip
