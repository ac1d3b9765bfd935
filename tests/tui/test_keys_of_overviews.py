"""Each key of the grid, the pulse and the forecast."""

from __future__ import annotations

import pytest

from backend.run.state import RunState, StageRecord, StageState
from khantui.screens.ask import Confirm, Trigger
from khantui.screens.editor import Editor
from khantui.screens.forecast import Forecast
from khantui.screens.grid import GridScreen
from khantui.screens.pulse import Pulse
from khantui.screens.run import RunScreen
from khantui.screens.schedules import Schedules
from khantui.screens.text import TextPage
from khantui.screens.timing import ScheduleForm
from khantui.widgets.grid_view import GridView
from khantui.widgets.sections import Sections
from tests.tui.conftest import shown, told, until
from tests.tui.desk import Desk, failed, stage
from tests.tui.trial import opens, tried, tries, walk

pytestmark = pytest.mark.slow
WIDE, NARROW = (130, 40), (80, 24)


@tries({GridScreen: "t w d x e s c ctrl+z", GridView: "enter"})
async def test_keys_of_the_grid_act_on_its_run_and_stage(desk: Desk) -> None:
    app = desk.app("grid weekly-learners")
    async with app.run_test(size=WIDE) as pilot:
        grid = app.screen
        assert isinstance(grid, GridScreen)
        await until(pilot, lambda: grid.cell is not None and grid.cell[1].run.id == desk.failed)
        assert grid.cell is not None
        assert grid.cell[0].name == "by_region"
        for key, kind, says in (
            ("t", Trigger, "start weekly-learners"), ("w", TextPage, "retries what failed"),
            ("d", TextPage, "attempt 2"), ("x", RunScreen, "graph ·"), ("e", Editor, "Learners per region"),
        ):  # fmt: skip
            await opens(pilot, key, kind, says)
        await tried(pilot, "c", lambda: app.clipboard == desk.failed)
        await tried(pilot, "ctrl+z", lambda: "[failed only]" in shown(app) and "totals" not in shown(app))
        await tried(pilot, "ctrl+z", lambda: "failed only]" not in shown(app) and "totals" in shown(app))
        await tried(pilot, "enter", lambda: isinstance(app.screen, RunScreen) and "attempt 2 of 2" in shown(app))
        await pilot.press("q")
        await until(pilot, lambda: app.screen is grid)
        await tried(pilot, "s", lambda: type(app.screen) is Schedules and "[pipeline=weekly-learners]" in shown(app))


@tries({GridView: "space enter h left j down k up l right g G home 0 end $ pagedown ctrl+f pageup ctrl+b"})
async def test_a_grid_is_walked_about_in_and_folded(desk: Desk) -> None:
    parts = [f"{n:02}" for n in range(40)]
    part = {"script": "true", "each": {"PART": parts}}
    desk.do(desk.put("parts", stages={"part": part, "merge": {"script": "true"}}))
    for days in (4, 3, 2, 1):
        records = [StageRecord(f"part.{name}", StageState.SUCCEEDED) for name in parts]
        records += [stage("merge", "succeeded", days * 1440, 3.0)]
        desk.do(desk.run_of("parts", RunState.SUCCEEDED, days * 1440, 9.0, records))
    app = desk.app("grid parts")
    async with app.run_test(size=NARROW) as pilot:
        grid = app.screen
        assert isinstance(grid, GridScreen)
        view = grid.view
        await until(pilot, lambda: len(grid.grid.columns) == 4)
        await pilot.press("g")
        await until(pilot, lambda: view.line == 0 and view.column == 3)
        steps = [("h", 2), ("left", 1), ("l", 2), ("right", 3), ("0", 0), ("$", 3), ("home", 0), ("end", 3)]
        await walk(pilot, lambda: view.column, steps)
        if not grid.grid.rows[0].members:
            await pilot.press("j")
        folded = len(grid.grid.rows)
        await tried(pilot, "space", lambda: len(grid.grid.rows) == folded + 40 and "part.03" in shown(app))
        await tried(pilot, "space", lambda: len(grid.grid.rows) == folded)
        await tried(pilot, "enter", lambda: len(grid.grid.rows) == folded + 40)
        await pilot.press("g")
        last, page = len(grid.grid.rows) - 1, view.size.height - view._top - 1
        steps = [("j", 1), ("down", 2), ("k", 1), ("up", 0), ("G", last), ("g", 0)]
        steps += [("pagedown", page), ("ctrl+f", 2 * page), ("pageup", page), ("ctrl+b", 0)]
        await walk(pilot, lambda: view.line, steps)


@tries({GridScreen: "r R ctrl+d"})
async def test_the_grid_retries_a_run_and_from_a_stage_and_cancels(desk: Desk) -> None:
    old, new = (desk.do(desk.run_of("etl-daily", RunState.FAILED, m, 60.0, [failed("load", m)])) for m in (50, 30))
    app = desk.app("grid etl-daily")
    async with app.run_test(size=WIDE) as pilot:
        grid = app.screen
        assert isinstance(grid, GridScreen)
        await until(pilot, lambda: grid.cell is not None and grid.cell[1].run.id == desk.running)
        await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm) and "Cancel etl-daily" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "1 asked to end" in told(app))
        await pilot.press("h")
        await until(pilot, lambda: grid.cell is not None and grid.cell[1].run.id == new)
        await tried(pilot, "r", lambda: "what failed runs again" in told(app))
        await pilot.press("h")
        await until(pilot, lambda: grid.cell is not None and grid.cell[1].run.id == old)
        await tried(pilot, "R", lambda: "everything from load on runs again" in told(app))
    asked = [desk.do(desk.ask("GET", f"/runs/{run}")).json()["asked"] for run in (old, new, desk.running)]
    assert asked == [["retry"], ["retry"], ["cancel"]]  # there is nobody to do it here


@tries({Pulse: "l r t w x d s c"})
async def test_keys_of_the_pulse_act_on_what_the_cursor_is_at(desk: Desk) -> None:
    run = desk.do(desk.run_of("regions", RunState.FAILED, 1, 9.0, [failed("load", 1)], message="load: exit 1"))
    app = desk.app("pulse")
    async with app.run_test(size=WIDE) as pilot:
        pulse = app.screen
        assert isinstance(pulse, Pulse)
        await until(pilot, lambda: pulse.sections.chosen is not None and pulse.sections.chosen.run_id == run)
        await tried(pilot, "c", lambda: app.clipboard == run)
        for key, kind, says in (
            ("t", Trigger, "start regions"), ("w", TextPage, "retries what"), ("d", TextPage, "started by"),
            ("x", GridScreen, "Grid regions"), ("l", RunScreen, "log · load"),
        ):  # fmt: skip
            await opens(pilot, key, kind, says)
        await tried(pilot, "r", lambda: "what failed runs again" in told(app))
        await tried(pilot, "s", lambda: type(app.screen) is Schedules and "[pipeline=regions]" in shown(app))
    assert desk.do(desk.ask("GET", f"/runs/{run}")).json()["asked"] == ["retry"]


@tries({Sections: "j down k up g home G end pagedown ctrl+f pageup ctrl+b tab J shift+tab K enter"})
async def test_the_pulse_is_walked_about_in(desk: Desk) -> None:
    for n in range(30):
        running = [StageRecord("load", StageState.RUNNING)]
        desk.do(desk.run_of("etl-daily", RunState.RUNNING, 5 + n, 0.0, running))
    app = desk.app("pulse")
    async with app.run_test(size=NARROW) as pilot:
        pulse = app.screen
        assert isinstance(pulse, Pulse)
        view = pulse.sections
        await until(pilot, lambda: len(view._choices) > 30 and app.overview.loaded)
        last, page, firsts = len(view._choices) - 1, view.size.height - 2, view._firsts
        steps = [("j", 1), ("down", 2), ("k", 1), ("up", 0), ("G", last), ("g", 0), ("end", last), ("home", 0)]
        steps += [("pagedown", page), ("ctrl+f", min(last, 2 * page)), ("g", 0), ("pagedown", page), ("pageup", 0)]
        steps += [("pagedown", page), ("ctrl+b", 0)]
        assert firsts[0] == 0
        steps += [("tab", firsts[1]), ("J", firsts[2 % len(firsts)])]
        steps += [("K", firsts[1]), ("shift+tab", 0)]
        await walk(pilot, lambda: view._at, steps)
        item = view.chosen
        assert item is not None
        await tried(pilot, "enter", lambda: app.screen is not pulse and app.screen.command == f"run {item.run_id}")


@tries({Forecast: "tab z"})
@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_keys_of_the_forecast(desk: Desk, size: tuple[int, int]) -> None:
    for number in range(40):
        body = {"pipeline": "regions", "kind": "cron", "cron": ["0 9 * * *"]}
        desk.do(desk.ask("PUT", f"/schedules/crowd-{number}", body))
    app = desk.app("forecast")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "40 at" in shown(app))
        screen = app.screen
        assert isinstance(screen, Forecast)
        await pilot.press("slash", *"crowd-7", "enter")
        await until(pilot, lambda: "[crowd-7]" in shown(app) and "room at" in shown(app))
        assert "09:00" in shown(app)
        await tried(pilot, "tab", lambda: screen.firing_table.has_focus)
        await tried(pilot, "tab", lambda: screen.table.has_focus)
        await pilot.press("enter", *"jjj", "enter")
        await until(pilot, lambda: isinstance(app.screen, ScheduleForm))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        for hours in (48, 168, 24):
            await tried(pilot, "z", lambda hours=hours: f"  {hours} h" in shown(app))  # type: ignore[misc]
