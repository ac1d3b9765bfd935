"""Each key of a run, of its graph, its time line and its log, and of what is found in the logs of all."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.run.state import Attempt, AttemptState, Reason, RunState, StageRecord, StageState
from khantui.screens.artifacts import Artifacts
from khantui.screens.ask import Confirm, Line, Trigger
from khantui.screens.editor import Editor
from khantui.screens.log_panel import LogPanel
from khantui.screens.log_search import LogSearch
from khantui.screens.run import RunScreen
from khantui.screens.schedules import Schedules
from khantui.screens.text import TextPage
from khantui.widgets.gantt_view import GanttView
from khantui.widgets.graph_view import GraphView
from khantui.widgets.log_view import LogView
from khantui.widgets.prompt import Prompt
from tests.tui.conftest import shown, told, until
from tests.tui.desk import NOW, Desk, failed, stage
from tests.tui.trial import opens, tried, tries, walk

pytestmark = pytest.mark.slow
WIDE, NARROW = (130, 40), (80, 24)


def opened(app: Any) -> RunScreen:
    screen = app.screen
    assert isinstance(screen, RunScreen)
    return screen


@tries({RunScreen: "tab shift+tab l L F x t w = d y e a s c p P n N f /"})
async def test_keys_of_a_run(desk: Desk) -> None:
    app = desk.app(f"run {desk.failed}")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "attempt 2 of 2" in shown(app) and opened(app).log_panel.view.at == 3)
        run = opened(app)
        panel = run.log_panel

        def focused() -> str:
            return app.focused.id if app.focused is not None else ""

        await until(pilot, lambda: focused() == "graph")
        await walk(pilot, focused, [("tab", "gantt"), ("tab", "log"), ("tab", "graph")])
        await walk(pilot, focused, [("shift+tab", "log"), ("shift+tab", "gantt")])
        await tried(pilot, "l", lambda: focused() == "log")
        await pilot.press("shift+tab")
        # what the log has as well is to be had from beside it
        await tried(pilot, "p", lambda: "the first try" in shown(app))
        await tried(pilot, "P", lambda: "attempt 2 of 2" in shown(app))
        await until(pilot, lambda: panel.view.at == 3)
        await tried(pilot, "/", lambda: run.query_one(Prompt).has_focus and run.query_one(Prompt).kind == "search")
        await pilot.press(*"re", "enter")
        await until(pilot, lambda: panel.view.at == 1)
        await pilot.press("shift+tab")
        await tried(pilot, "n", lambda: panel.view.at == 2)
        await tried(pilot, "N", lambda: panel.view.at == 1)
        await tried(pilot, "f", lambda: run.maximized is panel)
        await pilot.press("f")
        await until(pilot, lambda: run.maximized is None)
        await pilot.press("escape", "shift+tab")
        await until(pilot, lambda: panel.view.pattern is None and focused() == "gantt")
        await tried(pilot, "L", lambda: "log · all stages" in shown(app))
        await tried(pilot, "L", lambda: "log · by_region" in shown(app))
        await until(pilot, lambda: panel.view.at == 3)
        await tried(pilot, "x", lambda: "stages · 4 of 4" in shown(app) and focused() == "stages")
        await tried(pilot, "x", lambda: "graph · 4 of 4" in shown(app) and focused() == "graph")
        for key, kind, says in (
            ("F", LogSearch, "lines that speak of an error"), ("t", Trigger, "start weekly-learners"),
            ("w", TextPage, "retries what failed"), ("=", TextPage, "the last good one"), ("d", TextPage, "attempt 1"),
            ("y", TextPage, f'"id": "{desk.failed}"'), ("e", Editor, "Learners per region"),
            ("a", Artifacts, "1.2 KiB"),
        ):  # fmt: skip
            await opens(pilot, key, kind, says)
        await tried(pilot, "c", lambda: app.clipboard == desk.failed)
        await tried(pilot, "s", lambda: type(app.screen) is Schedules and "[pipeline=weekly-learners]" in shown(app))


@tries({RunScreen: "r R ctrl+d"})
async def test_a_run_is_retried_whole_and_from_a_stage_and_cancelled(desk: Desk) -> None:
    def asked(run: str) -> list[str]:
        found: list[str] = desk.do(desk.ask("GET", f"/runs/{run}")).json()["asked"]
        return found

    for minutes, key, says in ((50, "r", "what failed runs again"), (60, "R", "everything from load on runs again")):
        run = desk.do(desk.run_of("etl-daily", RunState.FAILED, minutes, 60.0, [failed("load", minutes)]))
        app = desk.app(f"run {run}")
        async with app.run_test(size=NARROW) as pilot:
            await until(pilot, lambda: "graph · 1 of 1" in shown(app))  # noqa: B023
            assert asked(run) == []
            await tried(pilot, key, lambda: says in told(app))  # noqa: B023
        assert asked(run) == ["retry"]
    app = desk.app(f"run {desk.running}")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "graph · 0 of 1" in shown(app))
        await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm) and "Cancel etl-daily" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "1 asked to end" in told(app))
    assert asked(desk.running) == ["cancel"]


@tries({GraphView: "h left j down k up l right enter", GanttView: "j down k up g home G end enter"})
async def test_the_graph_and_the_time_line_are_walked_about_in(desk: Desk) -> None:
    app = desk.app(f"run {desk.failed}")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "attempt 2 of 2" in shown(app))
        run = opened(app)
        graph, gantt, log = run.graph, run.query_one("#gantt", GanttView), run.log_panel.view
        await until(pilot, lambda: graph.has_focus and graph.selected == "by_region")
        steps = [("h", "clean"), ("l", "by_region"), ("j", "totals"), ("k", "by_region"), ("right", "plot")]
        steps += [("left", "by_region"), ("down", "totals"), ("up", "by_region")]
        await walk(pilot, lambda: graph.selected, steps)
        await tried(pilot, "enter", lambda: log.has_focus)
        await pilot.press("shift+tab")
        await until(pilot, lambda: gantt.has_focus)
        steps = [("g", "clean"), ("j", "by_region"), ("down", "totals"), ("k", "by_region"), ("up", "clean")]
        steps += [("G", "plot"), ("home", "clean"), ("end", "plot")]
        await walk(pilot, lambda: gantt.selected, steps)
        assert graph.selected == "plot"  # the parts go together
        await until(pilot, lambda: "needs by_region, which failed" in shown(app))  # in place of a log
        await tried(pilot, "enter", lambda: log.has_focus)


LONG = [f"line {n}" for n in range(1, 400)]
LONG[99] = json.dumps({"level": "error", "msg": "it broke", "ts": 1, "table": "t1"})
LONG[199] = "\x1b[31mred\x1b[0m " + "w" * 300 + " end of it"


@pytest.fixture(scope="module")
def long(desk: Desk) -> str:
    """A run whose stage was tried three times, and wrote more than a screen each time."""
    began = NOW - timedelta(minutes=100)
    tries = tuple(
        Attempt(n, AttemptState.FAILED, began, began + timedelta(seconds=5), 1, Reason.EXIT, "exit 1")
        for n in (1, 2, 3)
    )
    ended = began + timedelta(seconds=9)
    record = StageRecord("clean", StageState.FAILED, began, began, ended, tries, 3)
    run = desk.do(desk.run_of("weekly-learners", RunState.FAILED, 100, 9.0, [record], total=4))
    ages = [100 - n / 4 for n in range(399)]  # minutes
    for attempt in (1, 2, 3):
        desk.do(desk.write_log(run, "clean", attempt, [*LONG[:-1], f"end of attempt {attempt}"], ages))
    return run


@tries(
    {
        LogView: "0 1 s w t m J j down k up g home G end pagedown ctrl+f pageup ctrl+b h left right enter",
        LogPanel: "n N & f p P ctrl+s c",
    }
)
async def test_keys_of_a_log(desk: Desk, long: str) -> None:
    app = desk.app(f"log {long} clean")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: opened(app).log_panel.view.at == 100 and "attempt 3 of 3" in shown(app))
        run = opened(app)
        view = run.log_panel.view
        await until(pilot, lambda: view.has_focus)
        await tried(pilot, "J", lambda: "ERROR  it broke  table=t1" in shown(app))
        await tried(pilot, "J", lambda: '"msg": "it broke"' in shown(app))
        await tried(pilot, "c", lambda: app.clipboard == LONG[99])
        await tried(pilot, "p", lambda: "attempt 2 of 3" in shown(app))
        await tried(pilot, "P", lambda: "attempt 3 of 3" in shown(app))
        await until(pilot, lambda: view.at == 100)
        await tried(pilot, "0", lambda: "end of attempt 3" in shown(app) and view.at is None)
        end, page = view.scroll_offset.y, view.size.height - 1
        assert end == len(LONG) - view.size.height
        await tried(pilot, "m", lambda: "◆ end of attempt 3" in shown(app))
        await tried(pilot, "m", lambda: "◆" not in shown(app))
        steps = [("1", 0), ("j", 1), ("down", 2), ("k", 1), ("up", 0), ("G", end), ("g", 0), ("end", end), ("home", 0)]
        steps += [("pagedown", page), ("ctrl+f", 2 * page), ("pageup", page), ("ctrl+b", 0)]
        await walk(pilot, lambda: view.scroll_offset.y, steps)
        await until(pilot, lambda: "  line 1 " in shown(app))
        await tried(pilot, "t", lambda: shown(app).count("04:32:") + shown(app).count("04:33:") > 3)
        await pilot.press("t")
        await tried(pilot, "s", lambda: view.following and "following" in shown(app))
        await tried(pilot, "s", lambda: not view.following)
        await pilot.press("slash", *"line 20", "enter")  # 20, 200 to 209
        await until(pilot, lambda: view.at == 20 or view.at == 201)
        await pilot.press("1")
        await tried(pilot, "&", lambda: "only 10 matching lines" in shown(app) and view.only is not None)
        await tried(pilot, "&", lambda: view.only is None)
        at = view.at
        await tried(pilot, "n", lambda: view.at not in (None, at) and view.pattern is not None)
        await tried(pilot, "N", lambda: view.at == at)
        await tried(pilot, "f", lambda: run.maximized is run.log_panel and "graph ·" not in shown(app))
        await tried(pilot, "f", lambda: run.maximized is None)
        await pilot.press("escape", "slash", *"end of it", "enter")
        await until(pilot, lambda: view.at == 200 and "wwww" in shown(app))
        await until(pilot, lambda: view.max_scroll_x > 100)
        await walk(pilot, lambda: view.scroll_offset.x, [("right", 16), ("right", 32), ("left", 16), ("h", 0)])
        await tried(pilot, "w", lambda: "end of it" in shown(app) and "line 199" in shown(app))
        await tried(pilot, "w", lambda: "end of it" not in shown(app))
        await tried(pilot, "ctrl+s", lambda: isinstance(app.screen, Line))
        await pilot.press("enter")
        await until(pilot, lambda: Path(f"{long[-6:]}-clean-3.log").read_text().endswith("end of attempt 3\n"))
        await pilot.press("escape", "L")
        await until(pilot, lambda: "log · all stages" in shown(app) and "line 1" in shown(app))
        await tried(pilot, "enter", lambda: "log · clean" in shown(app) and view.at is not None)


@tries({LogView: "2 3 4 5 6"})
@pytest.mark.parametrize("command", ["log {run} clean", "log {run} *"])
async def test_keys_that_go_to_the_last_minutes(desk: Desk, command: str) -> None:
    ages = [90, 50, 20, 10, 3, 0.5]  # minutes, of a hundred lines each
    run = desk.do(
        desk.run_of("weekly-learners", RunState.SUCCEEDED, 95, 9.0, [stage("clean", "succeeded", 95, 9)], total=4)
    )
    lines = [f"line {n} of {age}" for age in ages for n in range(100)]
    desk.do(desk.write_log(run, "clean", 1, lines, [age for age in ages for _ in range(100)]))
    app = desk.app(command.format(run=run))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "line 99 of 0.5" in shown(app))
        view = opened(app).log_panel.view
        for key, age in (("6", 50), ("2", 0.5), ("5", 20), ("3", 3), ("4", 10)):
            line = ages.index(age) * 100 + 1
            await tried(pilot, key, lambda line=line, age=age: view.at == line and f"line 0 of {age}" in shown(app))  # type: ignore[misc]


@tries({LogSearch: "/ E c w"})
async def test_keys_of_a_search_over_all_runs(desk: Desk, long: str) -> None:
    app = desk.app("search weekly-learners end of it")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "3 found" in shown(app) and "that is all" in shown(app))
        search = app.screen
        assert isinstance(search, LogSearch)
        await tried(pilot, "c", lambda: app.clipboard.endswith("end of it"))
        await until(pilot, lambda: search.table.max_scroll_x < 2)
        await tried(pilot, "w", lambda: search.table.max_scroll_x > 10)
        await tried(
            pilot, "/", lambda: search.query_one(Prompt).value == "end of it" and search.query_one(Prompt).has_focus
        )
        await pilot.press("escape")
        await tried(pilot, "E", lambda: "lines that speak of an error" in shown(app) and "BadRequest" in shown(app))
