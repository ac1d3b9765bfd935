"""Why a stage ran or was reused, on a page of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from backend.api.wire import RunView, StageView
from backend.run.state import RunState, StageState, Trigger
from khantui.render.describe import describe_stage, explain

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)


def stage(name: str, state: StageState, **more: Any) -> StageView:
    fields: dict[str, Any] = {
        "name": name, "stage": name, "state": state, "image": "shell", "each": {}, "needs": (), "level": 0,
        "ready": NOW, "started": NOW, "ended": NOW, "retry_at": None, "message": "", "attempts": (), "inputs": {},
        "outputs": {}, "reused_from": "",
    }  # fmt: skip
    return StageView(**fields | more)


REUSED = stage(
    "clean", StageState.REUSED, reused_from="01m87ddm6t-7f3k2a", message="reused from run 01m87ddm6t-7f3k2a",
    reason="reused from 7f3k2a: nothing that it depends on has changed",
)  # fmt: skip
RAN = stage("count", StageState.SUCCEEDED, reason="ran: UNIT changed (a → \x1b[2Jb), since run 7f3k2a")
RUN = RunView(
    id="01m87ddm6t-7f3k2b", pipeline="p", version=1, state=RunState.SUCCEEDED, logical_time=NOW, zone="UTC",
    created=NOW, started=NOW, ended=NOW, parameters={}, trigger=Trigger("manual"), message="", ending="", round=1,
    progress={"total": 2}, revision=1, stages=(REUSED, RAN),
)  # fmt: skip


def text(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def test_a_stage_says_what_had_changed_and_cannot_paint_the_screen() -> None:
    shown = text(explain(RUN, RAN, NOW))
    assert "ran: UNIT changed (a → ␛[2Jb), since run 7f3k2a" in shown
    assert "ran: UNIT changed" in text(describe_stage(RAN, NOW))


def test_a_run_says_which_of_its_stages_were_reused() -> None:
    assert "clean  reused from 7f3k2a: nothing that it depends on has changed" in text(explain(RUN, None, NOW))
    assert "reused from 7f3k2a" in text(describe_stage(REUSED, NOW))
