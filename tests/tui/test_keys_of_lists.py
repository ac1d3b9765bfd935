"""Each key of the screens that are lists, of the prompt, the help, and of what asks and tells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.widgets import OptionList, Select

from backend.run.state import RunState
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.base import Put
from backend.store.codec import decode, encode
from khantui.app import KhantuiApp
from khantui.screens.ask import Choice, Confirm, Line, Pause, Trigger
from khantui.screens.backfills import Backfills
from khantui.screens.editor import Editor
from khantui.screens.filling import BackfillForm
from khantui.screens.grid import GridScreen
from khantui.screens.help import Help
from khantui.screens.listing import Listing
from khantui.screens.pipeline import PipelineScreen
from khantui.screens.pipelines import Pipelines
from khantui.screens.run import RunScreen
from khantui.screens.runs import Runs
from khantui.screens.schedules import Schedules
from khantui.screens.text import TextPage
from khantui.screens.timing import ScheduleForm
from khantui.screens.view import View
from khantui.widgets.prompt import Prompt
from khantui.widgets.resource_table import ResourceTable
from tests.tui.conftest import fill, shown, told, until, write
from tests.tui.desk import Desk, failed, stage
from tests.tui.trial import opens, tried, tries, walk

pytestmark = pytest.mark.slow
WIDE, NARROW = (130, 40), (80, 24)
MANY = 45  # older runs, more than a screen of them


@pytest.fixture(scope="module")
def full(desk: Desk) -> Desk:
    """The desk, with more runs than a screen holds."""
    for n in range(MANY):
        minutes = 40_000 + 60 * n
        desk.do(desk.run_of("regions", RunState.SUCCEEDED, minutes, 3.0, [stage("load", "succeeded", minutes, 3.0)]))
    return desk


async def ready(pilot: Any) -> None:
    await until(pilot, lambda: pilot.app.screen.rows.loaded and pilot.app.overview.loaded)


@tries({ResourceTable: "j down k up g home G end pagedown ctrl+f pageup ctrl+b space ctrl+@ ctrl+space enter"})
async def test_a_table_is_moved_about_in_and_marked(full: Desk) -> None:
    app = full.app()
    async with app.run_test(size=NARROW) as pilot:
        await ready(pilot)
        table = app.screen.table
        page, last = table.size.height - 2, MANY + 6 - 1
        assert 1 < page < last / 2
        steps = [("j", 1), ("down", 2), ("k", 1), ("up", 0), ("G", last), ("g", 0), ("end", last), ("home", 0)]
        steps += [("pagedown", page), ("ctrl+f", 2 * page), ("pageup", page), ("ctrl+b", 0)]
        await walk(pilot, lambda: table.cursor, steps)
        await tried(pilot, "space", lambda: len(table.marked) == 1 and table.cursor == 1 and "▌" in shown(app))
        await pilot.press("j", "j")
        await tried(pilot, "ctrl+space", lambda: len(table.marked) == 4 and "4 marked" in shown(app))
        await pilot.press("j")
        await tried(pilot, "ctrl+@", lambda: len(table.marked) == 5)
        await tried(pilot, "escape", lambda: not table.marked)
        run = table.current.id
        await tried(pilot, "enter", lambda: app.screen.command == f"run {run}")


@tries({Runs: "N A S L T ctrl+w ctrl+z c l x e w d y = t s ctrl+s"})
async def test_keys_of_the_runs(full: Desk) -> None:
    app = full.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        runs = app.screen
        assert isinstance(runs, Runs)

        def column(field: str) -> list[Any]:
            return [getattr(run, field) for run in runs.rows.known()]

        newest = column("id")

        def usual() -> bool:
            return column("id") == newest and not runs.table.sorted_by

        for key, title, field, rising in (
            ("N", "PIPELINE", "pipeline", True), ("S", "STATE", "state", True),
            ("A", "STARTED", "started", False), ("L", "LOGICAL TIME", "logical_time", False),
        ):  # fmt: skip
            for up in (rising, not rising):
                arrow = "↑" if up else "↓"
                await tried(
                    pilot, key,
                    lambda a=arrow, u=up, t=title, f=field: f"{t}{a}" in shown(app)  # type: ignore[misc]
                    and column(f) == sorted(column(f), reverse=not u),
                )  # fmt: skip
            await tried(pilot, key, usual)
        await tried(pilot, "T", lambda: "ago" not in shown(app) and "2026-11-23 06:00" in shown(app))
        await pilot.press("j")
        for key, kind, says in (
            ("l", RunScreen, "attempt 2 of 2"), ("x", RunScreen, "graph ·"), ("e", Editor, "what it is for"),
            ("w", TextPage, "retries what"), ("d", TextPage, "started by"), ("y", TextPage, '"pipeline": "weekly'),
            ("=", TextPage, "the last good one"), ("t", Trigger, "start weekly-learners"), ("ctrl+s", Line, "save"),
        ):  # fmt: skip
            await opens(pilot, key, kind, says)
        await tried(pilot, "s", lambda: type(app.screen) is Schedules and "[pipeline=weekly-learners]" in shown(app))
        await pilot.press("q")
        await until(pilot, lambda: app.screen is runs)
        await tried(pilot, "c", lambda: app.clipboard == full.failed)
        await tried(pilot, "ctrl+z", lambda: column("state") == ["failed"] and "[state=failed]" in shown(app))
        await pilot.press("ctrl+z")
        await pilot.resize_terminal(*NARROW)
        await until(pilot, lambda: app.size.width == 80 and runs.table.size.width <= 80 and runs.table.max_scroll_x < 2)
        await tried(pilot, "ctrl+w", lambda: runs.table.max_scroll_x > 10)


@tries({Runs: "r ctrl+d", Confirm: "escape n q y w left right h l"})
async def test_runs_are_retried_and_cancelled_after_a_question(full: Desk) -> None:
    bad = full.do(full.run_of("etl-daily", RunState.FAILED, 100, 60.0, [failed("load", 100)]))
    app = full.app("runs pipeline=etl-daily")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        runs = app.screen
        for no in ("escape", "n", "q"):
            await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm) and "Cancel etl-daily" in shown(app))
            await tried(pilot, no, lambda: app.screen is runs)
        await pilot.press("ctrl+d")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and app.focused is not None)
        assert app.focused.id == "no"  # what cannot be undone is not what enter does
        for n, key in enumerate(("left", "right", "h", "l")):
            await tried(pilot, key, lambda n=n: app.focused.id == ("no" if n % 2 else "yes"))  # type: ignore[misc]
        assert full.do(full.ask("GET", f"/runs/{full.running}")).json()["asked"] == []
        await tried(pilot, "w", lambda: app.focused.id == "why")
        await write(pilot, "ny, on call")  # what answers elsewhere is text here
        await pilot.press("enter")
        await until(pilot, lambda: app.focused.id == "no")
        await tried(pilot, "y", lambda: "1 asked to end" in told(app))
        (entry,) = full.do(full.ask("GET", "/audit", what="cancel_run")).json()["items"]
        assert entry["reason"] == "ny, on call"
        assert full.do(full.ask("GET", f"/runs/{full.running}")).json()["asked"] == ["cancel"]
        await pilot.press("j")
        await until(pilot, lambda: runs.table.current.id == bad)
        await tried(pilot, "r", lambda: "what failed runs again" in told(app))
        assert full.do(full.ask("GET", f"/runs/{bad}")).json()["asked"] == ["retry"]


@tries({View: ": / ? escape q - [ ] ctrl+r", KhantuiApp: "ctrl+p ctrl+c"})
async def test_keys_that_mean_the_same_everywhere(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        runs = app.screen
        prompt = runs.query_one(Prompt)
        for key, kind in ((":", "command"), ("/", "filter")):
            await tried(pilot, key, lambda kind=kind: prompt.has_focus and prompt.kind == kind)  # type: ignore[misc]
            await pilot.press("escape")
            await until(pilot, lambda: not prompt.display and runs.table.has_focus)
        await opens(pilot, "?", Help, "sort by logical time")
        rows = runs.rows
        await tried(pilot, "ctrl+r", lambda: runs.rows is not rows and runs.rows.loaded)
        app.go("pipelines")
        await until(pilot, lambda: isinstance(app.screen, Pipelines))
        await tried(pilot, "escape", lambda: app.screen is runs)
        app.go("schedules")
        await until(pilot, lambda: isinstance(app.screen, Schedules))
        await tried(pilot, "q", lambda: app.screen is runs)
        await tried(pilot, "-", lambda: isinstance(app.screen, Pipelines))
        await tried(pilot, "]", lambda: isinstance(app.screen, Schedules))
        await tried(pilot, "[", lambda: isinstance(app.screen, Pipelines))
        await tried(pilot, "ctrl+p", lambda: "delete" in shown(app) and type(app.screen).__name__ == "CommandPalette")
        await pilot.press("escape")
        await tried(pilot, "ctrl+c", lambda: app.return_code == 0 and not app.is_running)


async def test_q_at_home_leaves(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        assert app.return_value is None
        await pilot.press("q")
    assert app.return_value == 0


@tries({Prompt: "up down tab escape"})
@pytest.mark.parametrize("start", ["runs", "run weekly-learners", "pipeline regions", "artifacts regions", "forecast"])
async def test_the_prompt_remembers_and_completes_on_every_screen(desk: Desk, start: str) -> None:
    app = desk.app(start)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.overview.loaded)
        screen = app.screen
        prompt = screen.query_one(Prompt)
        for word in ("one", "two"):
            await pilot.press("colon", *word, "enter")
            await until(pilot, lambda word=word: f"no command '{word}'" in told(app))  # type: ignore[misc]
        await pilot.press("colon")
        await tried(pilot, "up", lambda: prompt.value == "two")
        await tried(pilot, "up", lambda: prompt.value == "one")
        await tried(pilot, "down", lambda: prompt.value == "two")
        await tried(pilot, "down", lambda: prompt.value == "")
        await pilot.press(*"sched")
        await until(pilot, lambda: prompt._suggestion == "schedules")
        await tried(pilot, "tab", lambda: prompt.value == "schedules" and prompt.has_focus)
        await tried(pilot, "escape", lambda: not prompt.display and not prompt.has_focus)
        assert app.screen is screen


@tries({Help: "down up escape"})
async def test_the_help_is_scrolled_and_closed(desk: Desk) -> None:
    app = desk.app("run weekly-learners")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "graph ·" in shown(app))
        run = app.screen
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help) and "search the log" in shown(app))
        keys = app.screen.query_one("VerticalScroll")
        await walk(pilot, lambda: keys.scroll_offset.y, [("down", 1), ("down", 2), ("up", 1)])
        await tried(pilot, "?", lambda: app.screen is run)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        await tried(pilot, "escape", lambda: app.screen is run)


@tries({TextPage: "j k g G c escape q"})
async def test_a_text_is_scrolled_and_copied(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=NARROW) as pilot:
        await ready(pilot)
        runs = app.screen
        await pilot.press("j", "y")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and '"pipeline"' in shown(app))
        page = app.screen.query_one("#page")
        await until(pilot, lambda: page.max_scroll_y > 60)
        last = page.max_scroll_y
        await walk(pilot, lambda: page.scroll_offset.y, [("j", 1), ("k", 0), ("G", last), ("g", 0)])
        for key, there in (("down", 1), ("up", 0), ("pagedown", page.size.height), ("pageup", 0), ("end", last)):
            await pilot.press(key)  # the page has these keys by itself
            await until(pilot, lambda there=there: page.scroll_offset.y == there)  # type: ignore[misc]
        await tried(pilot, "c", lambda: app.clipboard.startswith("{") and desk.failed in app.clipboard)
        await tried(pilot, "q", lambda: app.screen is runs)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, TextPage))
        await tried(pilot, "escape", lambda: app.screen is runs)


@tries({Line: "escape", Trigger: "escape ctrl+s f2"})
async def test_what_is_asked_for_can_be_left_and_said(desk: Desk) -> None:
    app = desk.app("runs pipeline=regions")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        runs = app.screen
        before = len(list(runs.rows.known()))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Line))
        await tried(pilot, "escape", lambda: app.screen is runs)
        assert not Path("runs.csv").exists()
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Trigger))
        await tried(pilot, "escape", lambda: app.screen is runs)
        for n, key in enumerate(("ctrl+s", "f2"), 1):
            await pilot.press("t")
            await until(pilot, lambda: isinstance(app.screen, Trigger))
            app.screen.query_one("#fresh", Select).value = ["", "yes"][n - 1]
            await tried(pilot, key, lambda n=n: len(list(runs.rows.known())) == before + n)  # type: ignore[misc]
    found = desk.do(desk.ask("GET", "/runs", pipeline="regions", limit="2")).json()["items"]
    assert sorted(run["fresh"] for run in found) == [False, True]


@tries({Pipelines: "t l e d x s b ctrl+d N A S", Listing: "ctrl+z ctrl+w T c"})
async def test_keys_of_the_pipelines(desk: Desk) -> None:
    app = desk.app("pipelines")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.overview.loaded and "etl-daily" in shown(app))
        page = app.screen
        assert isinstance(page, Pipelines)

        def listed() -> list[str]:
            return [p.name for p in page.rows.items]

        usual = ["etl-daily", "regions", "weekly-learners"]
        last = {name: app.overview.pipelines[name].last[0] for name in usual}
        for key, title, wanted in (
            ("N", "PIPELINE", usual),
            ("A", "WHEN", sorted(usual, key=lambda n: last[n].created)),
            ("S", "LAST", sorted(usual, key=lambda n: last[n].state)),
        ):
            await tried(pilot, key, lambda w=wanted, t=title: listed() == w and f"{t}↑" in shown(app))  # type: ignore[misc]
            await tried(pilot, key, lambda w=wanted, t=title: listed() == w[::-1] and f"{t}↓" in shown(app))  # type: ignore[misc]
            await tried(pilot, key, lambda: listed() == usual and not page.table.sorted_by)
        await pilot.press("G")
        for key, kind, says in (
            ("enter", Runs, "[pipeline=weekly-learners]"), ("t", Trigger, "start weekly-learners"),
            ("l", RunScreen, "attempt 2 of 2"), ("e", Editor, "Learners per region"), ("d", PipelineScreen, "1 graph"),
            ("x", GridScreen, "4 stages × 4 runs"), ("ctrl+d", Confirm, "Delete the pipeline weekly-learners?"),
            ("b", BackfillForm, "a backfill"),
        ):  # fmt: skip
            await tried(pilot, key, lambda k=kind, s=says: isinstance(app.screen, k) and s in shown(app))  # type: ignore[misc]
            await pilot.press("q" if isinstance(app.screen, View) else "escape")
            await until(pilot, lambda: app.screen is page)
        await tried(
            pilot, "s", lambda: isinstance(app.screen, Schedules) and "[pipeline=weekly-learners]" in shown(app)
        )
        await pilot.press("q")
        await until(pilot, lambda: app.screen is page)
        await tried(pilot, "c", lambda: app.clipboard == "weekly-learners")
        await tried(pilot, "T", lambda: re.search(r"2026-11-23 06:00:\d\d", shown(app)) and "ago" not in shown(app))
        await tried(pilot, "ctrl+z", lambda: listed() == ["weekly-learners"] and "[state=failed]" in shown(app))
        await pilot.press("ctrl+z")
        await pilot.resize_terminal(*NARROW)
        await until(pilot, lambda: app.size.width == 80 and page.table.size.width <= 80 and page.table.max_scroll_x < 2)
        await tried(pilot, "ctrl+w", lambda: page.table.max_scroll_x > 10)


async def fired(desk: Desk, name: str, run: str) -> None:
    """The schedule has started that run."""
    found = await desk.store.get(keys.schedule(name))
    assert found is not None
    await desk.store.commit([], [Put(found.key, encode(replace(decode(found.value, Schedule), last_run=run)))])


@tries({Schedules: "n e s t l d b ctrl+d N A", Pause: "escape ctrl+s f2"})
async def test_keys_of_the_schedules(desk: Desk) -> None:
    body = {"pipeline": "regions", "kind": "cron", "cron": ["0 3 * * *"]}
    desk.do(desk.ask("PUT", "/schedules/a-day", body))
    app = desk.app("schedules")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "monday-6" in shown(app))
        page = app.screen
        assert isinstance(page, Schedules)

        def listed() -> list[str]:
            return [s.name for s in page.rows.items]

        usual = ["monday-6", "a-day"]  # the next firing first
        assert listed() == usual
        await tried(pilot, "N", lambda: listed() == usual[::-1] and "SCHEDULE↑" in shown(app))
        await tried(pilot, "N", lambda: listed() == usual and "SCHEDULE↓" in shown(app))
        await tried(pilot, "N", lambda: not page.table.sorted_by)
        await tried(pilot, "A", lambda: listed() == usual and "NEXT↑" in shown(app))
        await tried(pilot, "A", lambda: listed() == usual[::-1] and "NEXT↓" in shown(app))
        await tried(pilot, "A", lambda: listed() == usual and not page.table.sorted_by)
        for key, kind, says in (
            ("n", ScheduleForm, "a new schedule"), ("e", ScheduleForm, "schedule monday-6 of weekly-learners"),
            ("t", Confirm, "Run weekly-learners now, as monday-6 would?"),
            ("ctrl+d", Confirm, "Delete the schedule monday-6?"), ("d", TextPage, "every Monday at 06:00"),
            ("b", BackfillForm, "a backfill"),
        ):  # fmt: skip
            await opens(pilot, key, kind, says)
        await tried(pilot, "l", lambda: "monday-6 has not started a run yet" in told(app))
        desk.do(fired(desk, "monday-6", desk.failed))
        await until(pilot, lambda: page.table.current.last_run == desk.failed)
        await opens(pilot, "l", RunScreen, desk.failed[-6:])
        await tried(pilot, "enter", lambda: isinstance(app.screen, Runs) and "[schedule=monday-6]" in shown(app))
        await pilot.press("q")
        await until(pilot, lambda: app.screen is page)
        for pause in ("ctrl+s", "f2"):
            await tried(pilot, "s", lambda: isinstance(app.screen, Pause))
            await tried(pilot, "escape", lambda: app.screen is page)
            await pilot.press("s")
            await until(pilot, lambda: isinstance(app.screen, Pause))
            await tried(pilot, pause, lambda: "paused by" in shown(app) and listed() == usual[::-1])
            await tried(pilot, "s", lambda: listed() == usual and "paused by" not in shown(app))  # as did the cursor
    desk.do(desk.ask("DELETE", "/schedules/a-day"))


@tries({Backfills: "n s ctrl+d", BackfillForm: "escape ctrl+s f2 f6", Listing: "T"})
async def test_keys_of_the_backfills(desk: Desk) -> None:
    app = desk.app("backfills")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "n makes one" in shown(app))
        page = app.screen
        await until(pilot, lambda: app.overview.loaded)
        await tried(pilot, "n", lambda: isinstance(app.screen, BackfillForm))
        await tried(pilot, "escape", lambda: app.screen is page)
        for start in ("f2", "ctrl+s"):
            await pilot.press("n")
            await until(pilot, lambda: isinstance(app.screen, BackfillForm))
            form = app.screen
            await fill(pilot, start="2026-03-01", end="2026-03-04", step="1d")
            await until(pilot, lambda: "4 runs · step 1d" in shown(app))
            for focused in ("would", "start"):
                await tried(pilot, "f6", lambda form=form, f=focused: form.focused.id == f)  # type: ignore[misc]
            await tried(pilot, start, lambda: app.screen is page and "● running" in shown(app))
            if start == "f2":
                await pilot.press("ctrl+d")
                await until(pilot, lambda: isinstance(app.screen, Confirm))
                await pilot.press("y")
                await until(pilot, lambda: "■ cancelled" in shown(app) and "● running" not in shown(app))
        await pilot.press("g")
        await until(pilot, lambda: page.table.cursor == 0)
        if page.table.current.state != "running":  # both were made at the same moment
            await pilot.press("j")
        await tried(pilot, "s", lambda: "paused by" in shown(app))
        await tried(pilot, "s", lambda: "● running" in shown(app))
        await tried(pilot, "T", lambda: "2026-11-23 06:12" in shown(app))
        await tried(pilot, "enter", lambda: isinstance(app.screen, Runs) and "[backfill=" in shown(app))
        await pilot.press("q")
        await until(pilot, lambda: app.screen is page)
        await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm) and "Cancel backfill" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: shown(app).count("■ cancelled") == 2)


@tries({Choice: "j k escape q"})
async def test_a_choice_is_moved_about_in_and_left(desk: Desk) -> None:
    app = desk.app("new")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, Editor) and "nothing to find fault with" in shown(app))
        editor = app.screen
        assert isinstance(editor, Editor)
        for out in ("escape", "q"):
            await pilot.press("f5")
            await until(pilot, lambda: isinstance(app.screen, Choice))
            options = app.screen.query_one(OptionList)
            await until(pilot, lambda options=options: options.highlighted == 0)  # type: ignore[misc]
            await walk(pilot, lambda options=options: options.highlighted, [("j", 1), ("j", 2), ("k", 1)])  # type: ignore[misc]
            await tried(pilot, out, lambda: app.screen is editor)
        assert "stage-1" not in editor.draft.text
