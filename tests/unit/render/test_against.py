"""A run beside the last good one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from backend.api.wire import RunView, StageView
from backend.run.state import RunState, StageState, Trigger
from khantui.render.against import Parting, against, parting

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


def stage(name: str, took: float, **said: Any) -> StageView:
    view = StageView(
        name, name, StageState.SUCCEEDED, "shell", {}, (), 0, NOW, NOW, NOW + timedelta(seconds=took), None, "", (), {},
        {}, "",
    )  # fmt: skip
    return replace(view, **said)


def run(number: int, state: RunState, stages: tuple[StageView, ...], **said: Any) -> RunView:
    view = RunView(
        id=f"01m87ddm6t-7f3k{number:02}", pipeline="weekly", version=1, state=state, logical_time=NOW, zone="UTC",
        created=NOW, started=NOW, ended=NOW + timedelta(seconds=60), parameters={}, trigger=Trigger("manual"),
        message="", ending="", round=1, progress={"total": 2}, revision=1, stages=stages,
        environment={"DAY": f"2026-11-{number:02}"},
    )  # fmt: skip
    return replace(view, **said)


def told(*arguments: Any) -> str:
    return "\n".join("".join(text for text, _ in line) for line in against(*arguments))


def test_what_differs_is_told_and_nothing_else() -> None:
    good = run(16, RunState.SUCCEEDED, (stage("load", 20, inputs={"raw": "a" * 64}), stage("plot", 5)))
    bad = run(
        23, RunState.FAILED, (stage("load", 50, inputs={"raw": "b" * 64}, image="python"), stage("plot", 5)), version=2
    )
    text = told(bad, good, ("--- v1", "+++ v2", "-old\x1b[2J", "+new"), Parting("load", 7, "boom", ""))
    assert "v1 → v2" in text
    assert "+new" in text
    assert "\x1b" not in text
    assert "DAY  2026-11-16 → 2026-11-23" in text
    assert "load  shell → python" in text
    assert "load reads raw  aaaaaaaaaaaa → bbbbbbbbbbbb" in text
    assert "load  20s → 50s" in text
    assert "load parts from it in line 7" in text
    assert "(had ended)" in text
    assert "plot" not in text


def test_twins_have_nothing_different() -> None:
    good = run(16, RunState.SUCCEEDED, (stage("load", 20),))
    assert "nothing is different" in told(replace(good, id="01m87ddm6t-7f3k99"), good, (), None)


def test_logs_part_where_they_say_something_else_but_times_say_nothing() -> None:
    then = ["2026-11-16 06:00:01 reading 10 rows", "took 3.2s", "done"]
    assert parting("a", ["2026-11-23 06:00:09 reading 10 rows", "took 41 ms", "done"], then) is None
    found = parting("a", ["2026-11-23 06:00:09 reading 11 rows"], then)
    assert found is not None
    assert (found.line, found.then) == (1, then[0])
    assert parting("a", then[:2], then) == Parting("a", 3, "", "done")
