"""Logs on the screen: several stages as one, searches over all runs, and each key."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from backend.run.state import RunState, StageRecord, StageState
from khantui.screens.ask import Line
from khantui.screens.log_search import LogSearch
from khantui.screens.run import RunScreen
from khantui.state.log_source import OneLog
from tests.tui.conftest import shown, told, until
from tests.tui.desk import Desk, failed, stage
from tests.tui.test_keys import NARROW, WIDE, say

pytestmark = pytest.mark.slow


def opened(app: object) -> RunScreen:
    screen = app.screen  # type: ignore[attr-defined]
    assert isinstance(screen, RunScreen)
    return screen


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_the_logs_of_all_stages_as_one_and_back(desk: Desk, size: tuple[int, int]) -> None:
    app = desk.app(f"run {desk.failed}")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "attempt 2 of 2" in shown(app))
        await pilot.press("L")
        await until(pilot, lambda: "log · all stages · 2,009 lines" in shown(app))
        screen = opened(app)
        await until(pilot, lambda: screen.log_panel.view.at is not None and "by_region" in shown(app))
        lines = [line for line in shown(app).split("\n") if "BadRequest" in line]
        assert any("! by_region" in line or "▶ by_region" in line for line in lines)
        await pilot.press("0", "t")
        await until(pilot, lambda: "by_region#2 │" in shown(app))
        await pilot.press("1")
        await until(pilot, lambda: "clean       │ line 1" in shown(app) or "by_region   │ the first try" in shown(app))
        await pilot.press("slash", *"line 1500", "enter")
        await until(pilot, lambda: "clean       │ line 1500" in shown(app) and screen.log_panel.view.at is not None)
        await pilot.press("enter")  # to that stage's own log, at that line
        await until(pilot, lambda: screen.log_panel.view.at == 1500 and "log · clean · 2,000 lines" in shown(app))
        await pilot.press("L", "L")
        await until(pilot, lambda: "log · clean · 2,000 lines" in shown(app))


async def test_the_logs_of_some_stages_as_one(desk: Desk) -> None:
    app = desk.app(f"log {desk.failed} by_region clean")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "log · by_region + clean · 2,009 lines" in shown(app))
        await pilot.press("slash", *"exit", "enter")
        await until(pilot, lambda: opened(app).log_panel.view.at is not None)
        first = opened(app).log_panel.view.at
        await pilot.press("n")
        await until(pilot, lambda: opened(app).log_panel.view.at != first)
        await pilot.press("N")
        await until(pilot, lambda: opened(app).log_panel.view.at == first)
        await pilot.press("ampersand")
        await until(pilot, lambda: "only 2 matching lines" in shown(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Line))
        await pilot.press("enter")
        path = Path(f"{desk.failed[-6:]}-by_region-clean.log")
        await until(pilot, lambda: path.exists() and len(path.read_text().splitlines()) == 2009)
        assert "clean │ line 7" in path.read_text().splitlines()


async def test_marked_stages_are_shown_as_one(desk: Desk) -> None:
    app = desk.app(f"run {desk.failed}")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "attempt 2 of 2" in shown(app))
        await pilot.press("x", "g", "space", "space")
        await pilot.press("L")
        await until(pilot, lambda: "log · clean + by_region · 2,009 lines" in shown(app))


async def test_a_search_over_all_runs_of_a_pipeline(desk: Desk) -> None:
    older = desk.do(desk.run_of("weekly-learners", RunState.FAILED, 900, 9.0, [failed("by_region", 900)], total=4))
    desk.do(desk.write_log(older, "by_region", 1, ["x", "BadRequest, long ago", "y"]))
    app = desk.app("run weekly-learners")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "attempt 2 of 2" in shown(app))
        await pilot.press("slash", *"badrequest", "enter")
        await until(pilot, lambda: opened(app).log_panel.view.at == 3)
        await pilot.press("F")
        await until(pilot, lambda: isinstance(app.screen, LogSearch) and "3 found" in shown(app))
        await until(pilot, lambda: "that is all" in shown(app))
        text = shown(app)
        assert text.index(desk.failed[-6:]) < text.index(older[-6:])
        assert "columns: day, region" in text  # what is around the first
        await pilot.press("G")
        await until(pilot, lambda: "long ago" in shown(app) and "attempt 1 · line 2" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and opened(app).log_panel.view.at == 2)
        assert "attempt 1 of 2" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LogSearch))
        await pilot.press("slash", *(["backspace"] * 10), *"nowhere", "enter")
        await until(pilot, lambda: "no line with nowhere" in shown(app) and "0 found" in shown(app))
        await pilot.press("E")
        await until(pilot, lambda: "lines that speak of an error" in shown(app) and "0 found" not in shown(app))
        await pilot.press("slash", "left_parenthesis", "enter")
        await until(pilot, lambda: "no regular expression" in told(app))


async def test_errors_of_all_runs_on_a_small_terminal(desk: Desk) -> None:
    app = desk.app("search weekly-learners")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "BadRequest" in shown(app) and "that is all" in shown(app))
        await say(pilot, "search nothing-of-that-name x")
        await until(pilot, lambda: "nothing-of-that-name" in told(app))


async def test_the_log_of_a_stage_that_was_kept_from_another_run(desk: Desk) -> None:
    records = [
        StageRecord("clean", StageState.REUSED, reused_from=desk.failed),
        stage("by_region", "succeeded", 800, 9),
    ]
    run = desk.do(desk.run_of("weekly-learners", RunState.SUCCEEDED, 800, 9.0, records, total=4))
    desk.do(desk.write_log(run, "by_region", 1, ["its own"]))
    app = desk.app(f"log {run} *")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "log · all stages · 2,001 lines" in shown(app))
        await pilot.press("slash", *"line 1500", "enter")
        await until(pilot, lambda: opened(app).log_panel.view.at is not None)
        await pilot.press("enter")  # to that stage's own log
        panel = opened(app).log_panel
        await until(pilot, lambda: panel.view.at == 1500 and "log · clean · 2,000 lines" in shown(app))
        assert panel.source == OneLog(desk.failed, "clean", 1)
        await say(pilot, f"log {run} clean")
        await until(pilot, lambda: "log · clean · 2,000 lines" in shown(app) and "line 2000" in shown(app))


async def test_a_damaged_log_is_told_of_and_the_others_are_shown_and_searched(desk: Desk) -> None:
    records = [stage("clean", "failed", 1000, 9), stage("totals", "failed", 1000, 9)]
    run = desk.do(desk.run_of("weekly-learners", RunState.FAILED, 1000, 9.0, records, total=4))
    for name in ("clean", "totals"):
        desk.do(desk.write_log(run, name, 1, ["one", f"ERROR in {name}"]))
    path = desk.layout.archived_log(run, "clean", 1)
    path.write_bytes(path.read_bytes()[:50])
    app = desk.app(f"log {run} *")
    async with app.run_test(size=(200, 60)) as pilot:
        await until(
            pilot, lambda: "! clean     │ [khantui] the archived log" in shown(app) and "ERROR in totals" in shown(app)
        )
        await say(pilot, "search weekly-learners")
        await until(pilot, lambda: "ERROR in totals" in shown(app) and "1 damaged · that is all" in shown(app))
        assert f"the archived log {path} is damaged" in told(app)


EVIL = [
    "\x1b[2J\x1b[H\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07cleared?",
    "\x1bPq#0;2;0;0;0#0~~@@vv\x1b\\ \x1b_Gf=24;AAAA\x1b\\ \x1b^pm\x1b\\ \x1bXsos\x1b\\ strings",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\ \x1b[5;5Hmoved \x1b[?1049l\x1bc\x1b(0lqk\x0e",
    "\x1b]0;never ended",
    "[red]not markup[/red] [@click=app.quit]no link[/]",
    "e\u0301" * 40 + " 漢字漢字 \u202egnp.exe\u202c \u200b\u2066x\u200f",
    "👩\u200d👩\u200d👧 🏳\ufe0f\u200d🌈 🇩🇪 👍🏽 " * 20,
    "\u0300" * 500 + "stack" + "\u0308" * 500,
    "שלום עולם " * 30,
    "漢" * 300,
    "\x00\x07\x08\x7f\x9b31m\x85\u2028" + "A" * 200,
    '{"level": "info", "msg": "json \\u001b[2J \\u202e", "k": "\\u0000"}',
    "x" * 1_000_000,
    "progress 1%\rprogress 100%",
    "\x1b[31mred without an end",
    "the last of them",
]


ACTING = set(map(chr, [*range(10), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x200D]))


@pytest.mark.parametrize("size", [NARROW, (200, 60)])
async def test_hostile_lines_paint_nothing_outside_their_place(desk: Desk, size: tuple[int, int]) -> None:
    records = [stage("clean", "failed", 600, 9), stage("load", "failed", 600, 9)]
    run = desk.do(desk.run_of("weekly-learners", RunState.FAILED, 600, 9.0, records, total=4))
    for name in ("clean", "load"):
        desk.do(desk.write_log(run, name, 1, EVIL))
    app = desk.app(f"log {run} clean")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "the last of them" in shown(app))
        await pilot.press("f")
        for keys in ([], ["1"], ["t"], ["w"], ["J"], ["0"], ["w"], ["right"], ["f", "L"], ["f"], ["0"], ["w"]):
            await pilot.press(*keys)
            await until(pilot, lambda: not any(w.is_running for w in app.workers if w.group == "log"))
            await pilot.pause()
            strips = app.screen._compositor.render_strips()
            assert all(cell_len(strip.text) == strip.cell_length == size[0] for strip in strips)
            lines = [strip.text for strip in strips]
            begin = next(n for n, line in enumerate(lines) if line.startswith("╭─ log"))
            end = next(n for n, line in enumerate(lines) if n > begin and line.startswith("╰"))
            assert all(line[0] == "│" and line[-1] == "│" for line in lines[begin + 1 : end])
            assert set(shown(app)).isdisjoint(
                map(chr, [*range(10), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x200D])
            )


async def test_what_hostile_lines_are_found_as_is_harmless(desk: Desk) -> None:
    records = [stage("clean", "failed", 700, 9)]
    run = desk.do(desk.run_of("regions", RunState.FAILED, 700, 9.0, records, total=1))
    desk.do(desk.write_log(run, "clean", 1, EVIL))
    app = desk.app("search regions .")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "that is all" in shown(app))
        for _ in range(len(EVIL)):
            await pilot.press("j")
            await pilot.pause()
            strips = app.screen._compositor.render_strips()
            assert all(cell_len(strip.text) == strip.cell_length == 80 for strip in strips)
            assert set(shown(app)).isdisjoint(
                map(chr, [*range(10), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x200D])
            )
