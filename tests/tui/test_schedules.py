"""Schedules by keys: made, changed with their firings side by side, stopped, run and deleted."""

from __future__ import annotations

from typing import Any

import pytest
from textual.widgets import Input, Select

from khantui.screens.ask import Confirm, Pause
from khantui.screens.runs import Runs
from khantui.screens.schedules import Schedules
from khantui.screens.text import TextPage
from khantui.screens.timing import ScheduleForm
from tests.tui.conftest import fill, shown, to_field, told, until
from tests.tui.desk import Desk

pytestmark = pytest.mark.slow
WIDE, NARROW = (130, 40), (80, 24)


def stored(desk: Desk, name: str) -> dict[str, Any]:
    found: dict[str, Any] = desk.do(desk.ask("GET", f"/schedules/{name}")).json()
    return found


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_an_edit_shows_the_firings_before_and_after(desk: Desk, size: tuple[int, int]) -> None:
    app = desk.app("schedules")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "monday-6" in shown(app))
        await pilot.press("e")
        await until(pilot, lambda: "after this change" in shown(app))
        cron = app.screen.query_one("#cron", Input)
        assert app.focused is cron
        cron.value = "30 6 * * MON"
        await until(pilot, lambda: "Mon 30 Nov 2026 06:30 (14:30 UTC)" in shown(app))
        text = shown(app)
        assert "Mon 30 Nov 2026 06:00 (14:00 UTC)" in text
        assert "earlier in UTC: summer time" in text
        cron.value = "30 6 * *"
        await until(pilot, lambda: "has 4 fields instead of five" in shown(app))
        assert stored(desk, "monday-6")["cron"] == ["0 6 * * MON"]  # nothing is stored by looking
        cron.value = "0 6 * * MON"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Schedules))


async def test_a_schedule_is_made_changed_run_stopped_and_deleted(desk: Desk) -> None:
    app = desk.app("pipeline regions")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "1 stage in 1 level" in shown(app))
        await pilot.press("5")
        await until(pilot, lambda: "n makes a schedule" in shown(app))
        await pilot.press("n")
        await until(pilot, lambda: "a new schedule" in shown(app) and "every day at 06:00" in shown(app))
        screen = app.screen
        assert isinstance(screen, ScheduleForm)
        screen.query_one("#times", Select).value = "0 6 * * MON"
        screen.query_one("#zone", Input).value = "America/Los_Angeles"
        await until(pilot, lambda: "every Monday at 06:00 (America/Los_Angeles)" in shown(app))
        await until(pilot, lambda: "! weekly-learners starts then" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: "regions" in shown(app) and not isinstance(app.screen, ScheduleForm))
        assert stored(desk, "regions")["cron"] == ["0 6 * * MON"]
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ScheduleForm))
        app.screen.query_one("#kind", Select).value = "after"
        await until(pilot, lambda: "it needs 'after'" in shown(app))
        app.screen.query_one("#after").focus()
        await pilot.press("space")
        await until(pilot, lambda: "after etl-daily" in shown(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, ScheduleForm))
        assert stored(desk, "regions")["after"] == ["etl-daily"]
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Pause))
        await pilot.press(*"moving", "enter")
        await until(pilot, lambda: "paused by" in shown(app))
        assert stored(desk, "regions")["paused_reason"] == "moving"
        await pilot.press("s")
        await until(pilot, lambda: not stored(desk, "regions")["paused"])
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and "as regions would" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: "is started" in told(app))
        await pilot.press("ctrl+d")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and "Delete the schedule regions?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "n makes a schedule" in shown(app))
    names = [s["name"] for s in desk.do(desk.ask("GET", "/schedules")).json()["items"]]
    assert names == ["monday-6"]


async def test_marked_schedules_are_stopped_with_one_reason(desk: Desk) -> None:
    for name in ("a", "b"):
        body = {"pipeline": "regions", "kind": "cron", "cron": ["0 3 * * *"]}
        desk.do(desk.ask("PUT", f"/schedules/{name}", body))
    app = desk.app("schedules pipeline=regions")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.screen.rows.count == 2)
        await pilot.press("space", "space", "s")
        await until(pilot, lambda: "pause 2 schedules" in shown(app))
        await pilot.press(*"cleaning", "enter")
        await until(pilot, lambda: "2 schedules are paused" in told(app))
        assert [stored(desk, n)["paused_reason"] for n in "ab"] == ["cleaning", "cleaning"]
        await pilot.press("g", "space", "space", "ctrl+d")
        await until(pilot, lambda: "Delete 2 schedules?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: app.screen.rows.count == 0)


async def test_what_is_written_stays_while_the_daemon_is_away(tmp_path: Any) -> None:
    desk = Desk(tmp_path / "a")
    desk.start()
    desk.do(desk.furnish())
    app = desk.app("schedules")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "monday-6" in shown(app))
        await pilot.press("e")
        await until(pilot, lambda: "after this change" in shown(app))
        desk.pause()
        app.screen.query_one("#cron", Input).value = "30 6 * * MON"
        await pilot.press("enter")
        await until(pilot, lambda: "what is written here stays" in shown(app), 30)
        desk.go_on()
        await until(pilot, lambda: app.link.state == "live", 30)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Schedules))
        assert stored(desk, "monday-6")["cron"] == ["30 6 * * MON"]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Runs) and "[schedule=monday-6]" in shown(app))
    desk.stop()


async def choose(pilot: Any, name: str, down: int) -> None:
    """The choice so many below the present one."""
    await to_field(pilot, name)
    await pilot.press("enter", *["down"] * down, "enter")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_one_key_leads_from_a_pipeline_to_its_schedule_and_two_change_it(
    desk: Desk, size: tuple[int, int]
) -> None:
    for start in ("pipelines", "runs", "grid weekly-learners", "pipeline weekly-learners", "pulse"):
        app = desk.app(start)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda a=app: a.overview.loaded and "weekly-learners" in shown(a))
            if start in ("pipelines", "runs"):
                await pilot.press("G")
            await pilot.press("s")
            await until(pilot, lambda a=app: "monday-6" in shown(a))
            await pilot.press("e")
            await until(pilot, lambda a=app: isinstance(a.screen, ScheduleForm) and "schedule monday-6" in shown(a))


async def test_every_policy_is_a_field_and_what_may_surprise_is_said(desk: Desk) -> None:
    desk.do(desk.ask("PUT", "/calendars/holidays", {"days": ["2026-12-02"]}))
    app = desk.app("schedules pipeline=etl-daily")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "nothing fits" in shown(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, ScheduleForm))
        await fill(pilot, cron="30 2 * * *", zone="Europe/Berlin")
        await until(pilot, lambda: "comes twice" in shown(app) or "does not exist" in shown(app))
        await choose(pilot, "catch_up", 1)
        await fill(pilot, window="2d")
        await choose(pilot, "overlap", 2)
        await fill(pilot, deadline="07:00", jitter="5m", start="2026-12-01", end="2027-12-31", skip="12-25 2027-01-01")
        await until(pilot, lambda: "Wed 02 Dec 2026 02:30 (01:30 UTC)" in shown(app))
        await fill(pilot, calendars="holidays")
        await until(pilot, lambda: "Wed 02 Dec" not in shown(app) and "Thu 03 Dec 2026 02:30" in shown(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "etl-daily" in shown(app) and not isinstance(app.screen, ScheduleForm))
        made = stored(desk, "etl-daily")
        assert (made["catch_up"], made["window"], made["overlap"]) == ("none", 2 * 86400, "skip")
        assert (made["deadline"], made["jitter"], made["skip"]) == ("07:00", 300, ["12-25", "2027-01-01"])
        assert made["calendars"] == ["holidays"]
        assert made["start"] == "2026-12-01T00:00:00+01:00"
        assert made["end"][:19] == "2027-12-31T23:59:59"
    desk.do(desk.ask("DELETE", "/schedules/etl-daily", status=204))


async def test_what_was_said_is_in_its_fields_and_a_pause_may_have_an_end(desk: Desk) -> None:
    times = {"kind": "cron", "cron": ["30 2 * * *"], "zone": "Europe/Berlin", "end": "2027-12-31T23:59:59.999999"}
    policies = {"window": 2 * 86400, "jitter": 300, "skip": ["12-25", "2027-01-01"], "deadline": "07:00"}
    body = {"pipeline": "etl-daily", **times, **policies}
    desk.do(desk.ask("PUT", "/schedules/etl-daily", body))
    app = desk.app("schedules pipeline=etl-daily")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "02:30" in shown(app))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ScheduleForm))
        form = app.screen
        written = {i.id: i.value for i in form.query(Input) if i.id}
        assert written["end"] == "2027-12-31"
        assert (written["jitter"], written["window"], written["skip"]) == ("5m", "2d", "12-25 2027-01-01")
        await choose(pilot, "kind", 2)
        await fill(pilot, every="90m")
        await until(pilot, lambda: "every 1h30m" in shown(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, ScheduleForm))
        assert (stored(desk, "etl-daily")["kind"], stored(desk, "etl-daily")["every"]) == ("every", 5400)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Pause))
        await fill(pilot, why="moving", until="tomorrow")
        await pilot.press("enter")
        await until(pilot, lambda: "is no duration" in shown(app))
        await fill(pilot, until="2026-12-24")
        await pilot.press("enter")
        await until(pilot, lambda: "until 2026-12-24: moving" in shown(app))
        assert stored(desk, "etl-daily")["paused_until"] == "2026-12-24T00:00:00+01:00"
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "deadline      07:00" in shown(app))
        assert "until 2026-12-24: moving" in shown(app)
        await pilot.press("escape", "ctrl+d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "nothing fits" in shown(app))


async def test_a_schedule_after_others_waits_for_what_is_chosen(desk: Desk) -> None:
    app = desk.app("schedules pipeline=etl-daily")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "nothing fits" in shown(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, ScheduleForm))
        await choose(pilot, "kind", 3)
        await to_field(pilot, "after")
        await pilot.press("space", "down", "space")
        await choose(pilot, "condition", 2)
        await choose(pilot, "together", 3)
        await until(pilot, lambda: "after regions and weekly-learners ended" in shown(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, ScheduleForm))
        made = stored(desk, "etl-daily")
        assert (made["after"], made["condition"], made["join"], made["match"]) == (
            ["regions", "weekly-learners"], "ended", "all", "latest"
        )  # fmt: skip
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ScheduleForm))
        assert app.screen.query_one("#together", Select).value == "latest"
        await pilot.press("escape")
        desk.do(desk.ask("DELETE", "/schedules/etl-daily", status=204))


async def test_a_description_has_the_firings_and_what_the_first_would_run_with(desk: Desk) -> None:
    app = desk.app("schedules")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "monday-6" in shown(app))
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "next firings" in shown(app))
        await pilot.press("G")
        await until(pilot, lambda: "the first would run with, at 2026-11-23 06:00" in shown(app))
        assert "DAY  2026-11-23" in shown(app)
        assert "REGION  all" in shown(app)
