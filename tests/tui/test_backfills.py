"""Backfills by keys: written in a form that lists what would run, started, paused, resumed and cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from khantui.screens.ask import Confirm
from khantui.screens.filling import BackfillForm
from khantui.screens.runs import Runs
from tests.tui.conftest import fill, shown, to_field, told, until, write
from tests.tui.desk import Desk

pytestmark = pytest.mark.slow
WIDE = (130, 40)


def running(desk: Desk) -> dict[str, Any]:
    """The only backfill that runs."""
    (found,) = (b for b in desk.do(desk.ask("GET", "/backfills")).json()["items"] if b["state"] == "running")
    return dict(found)


async def test_one_is_started_paused_resumed_and_cancelled(desk: Desk) -> None:
    app = desk.app("backfills")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "there is no backfill yet" in shown(app) and app.overview.loaded)
        await pilot.press("colon")
        await write(pilot, "backfill regions 2026-03-01 2026-03-31 1d")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, BackfillForm) and "31 runs · step 1d · UTC" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: "● running" in shown(app) and "0/31" in shown(app))
        await pilot.press("s")
        await until(pilot, lambda: "paused by" in shown(app))
        await pilot.press("s")
        await until(pilot, lambda: "● running" in shown(app))
        await pilot.press("ctrl+d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "■ cancelled" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Runs) and "[backfill=" in shown(app))


@pytest.mark.parametrize("size", [WIDE, (80, 24)])
async def test_every_option_is_a_field_and_what_would_run_is_listed_before(desk: Desk, size: tuple[int, int]) -> None:
    app = desk.app("pipelines")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "weekly-learners" in shown(app))
        await pilot.press("G", "b")
        await until(pilot, lambda: isinstance(app.screen, BackfillForm) and len(app.screen.query("#p0")) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: "say from when to when" in told(app))
        assert app.focused is not None
        assert app.focused.id == "start"
        await fill(pilot, start="2026-10-24T06:00", end="2026-10-26T06:00", step="1d", zone="Europe/Berlin")
        await until(pilot, lambda: "3 runs · step 1d · Europe/Berlin" in shown(app))
        assert "DAY=2026-10-25 REGION=all" in shown(app)
        await fill(pilot, parallel="x")
        await until(pilot, lambda: "'x' is no number of runs" in shown(app))
        await fill(pilot, parallel="2")
        await to_field(pilot, "order")
        await pilot.press("enter", "down", "enter")
        await to_field(pilot, "again")
        await pilot.press("enter", "down", "enter")
        await to_field(pilot, "fresh")
        await pilot.press("enter", "down", "enter")
        await fill(pilot, p0="eu")
        await until(pilot, lambda: "REGION=eu" in shown(app))
        listed = app.screen.query_one("#would").text  # type: ignore[attr-defined]
        assert listed.index("2026-10-26") < listed.index("2026-10-24")  # in the order in which they run
        await pilot.press("f6")
        assert app.focused is app.screen.query_one("#would")
        await pilot.press("f6", "ctrl+s")
        await until(pilot, lambda: "0/3" in shown(app))
    made = running(desk)
    assert (made["pipeline"], made["step"], made["zone"], made["parallel"]) == (
        "weekly-learners", "1d", "Europe/Berlin", 2
    )  # fmt: skip
    assert (made["order"], made["rerun"], made["fresh"], made["parameters"]) == ("newest", True, True, {"region": "eu"})
    desk.do(desk.ask("POST", f"/backfills/{made['id']}/cancel", status=202))


async def test_nothing_starts_that_was_not_listed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("khantui.screens.filling._QUIET", 3600.0)  # no list comes unless it is asked for
    app = desk.app("schedules")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "monday-6" in shown(app))
        before = desk.do(desk.ask("GET", "/backfills")).json()["items"]
        await pilot.press("b")  # the firings of the schedule at the cursor
        await until(pilot, lambda: isinstance(app.screen, BackfillForm))
        await fill(pilot, start="2026-11-01")
        await to_field(pilot, "end")
        await write(pilot, "2026-11-22")
        await pilot.press("enter")  # before the daemon was asked: the list comes first
        await until(pilot, lambda: "3 runs · step every Monday at 06:00" in shown(app))
        assert desk.do(desk.ask("GET", "/backfills")).json()["items"] == before
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, BackfillForm))
    assert desk.do(desk.ask("GET", "/backfills")).json()["items"] == before
