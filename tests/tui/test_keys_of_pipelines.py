"""Each key of a pipeline's page, of the editor, and of the forms for documents and schedules."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from khantui.screens.ask import Confirm, Pause, Trigger
from khantui.screens.compare import Compare
from khantui.screens.editor import Editor, Parts
from khantui.screens.firings import FiringsPanel
from khantui.screens.form import Form
from khantui.screens.grid import GridScreen
from khantui.screens.page import LinesPage
from khantui.screens.pipeline import PipelineScreen
from khantui.screens.run import RunScreen
from khantui.screens.text import TextPage
from khantui.screens.timing import ScheduleForm
from khantui.screens.versions import VersionsPanel
from khantui.widgets.line_view import LineView
from khantui.widgets.prompt import Prompt
from tests.tui.conftest import shown, told, until
from tests.tui.desk import SIMPLE, Desk
from tests.tui.trial import opens, tried, tries, walk

pytestmark = pytest.mark.slow
WIDE, NARROW = (130, 40), (80, 24)


@tries({PipelineScreen: "1 2 3 4 5 s tab shift+tab / n N t e x l L c"})
async def test_keys_of_a_pipelines_page(desk: Desk) -> None:
    app = desk.app("pipeline weekly-learners")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "4 stages in 3 levels" in shown(app) and app.overview.loaded)
        page = app.screen
        assert isinstance(page, PipelineScreen)

        def active() -> str:
            return page.tabs.active

        steps = [("2", "document"), ("3", "versions"), ("4", "lineage"), ("5", "schedules"), ("1", "graph")]
        steps += [("shift+tab", "schedules"), ("tab", "graph"), ("tab", "document"), ("s", "schedules")]
        await walk(pilot, active, [*steps, ("2", "document")])
        prompt, text = page.query_one(Prompt), page.query_one("#text", LineView)
        await tried(pilot, "/", lambda: prompt.has_focus and prompt.kind == "search")
        await pilot.press(*"script", "enter")
        await until(pilot, lambda: text._found is not None)
        first = text._found
        await tried(pilot, "n", lambda: text._found not in (None, first))
        await tried(pilot, "N", lambda: text._found == first)
        await tried(pilot, "c", lambda: app.clipboard.startswith("{") and "Learners per region" in app.clipboard)
        await pilot.press("1")
        await until(pilot, lambda: active() == "graph")
        for key, kind, says in (
            ("t", Trigger, "start weekly-learners"), ("e", Editor, "Learners per region"),
            ("x", GridScreen, "4 stages × 4 runs"), ("L", RunScreen, "attempt 2 of 2"),
        ):  # fmt: skip
            await opens(pilot, key, kind, says)
        await pilot.press("2")  # in the graph `l` goes to the right
        await until(pilot, lambda: active() == "document")
        await opens(pilot, "l", RunScreen, "attempt 2 of 2")


@tries({VersionsPanel: "= b"})
async def test_versions_are_compared_and_rolled_back_to(desk: Desk) -> None:
    for script in ("echo one", "echo two"):
        stages = {"load": {"script": script, "outputs": ["table"]}}
        desk.do(desk.put("versioned", outputs={"table": {}}, stages=stages))
    app = desk.app("pipeline versioned")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "1 stage in 1 level" in shown(app))
        await pilot.press("3", "j")
        await until(pilot, lambda: app.screen.query_one(VersionsPanel).table.current.version == 1)
        await opens(pilot, "=", LinesPage, "echo two")
        await tried(pilot, "b", lambda: isinstance(app.screen, Confirm) and "back from v2 to v1?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "v3 is current" in told(app))


@tries({FiringsPanel: "n e s t d ctrl+d"})
async def test_keys_of_a_pipelines_schedules(desk: Desk) -> None:
    desk.do(desk.put("fired", **SIMPLE))
    body = {"pipeline": "fired", "kind": "cron", "cron": ["0 3 * * *"]}
    desk.do(desk.ask("PUT", "/schedules/night", body))
    app = desk.app("pipeline fired")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "1 stage in 1 level" in shown(app) and app.overview.loaded)
        page = app.screen
        await pilot.press("5")
        await until(pilot, lambda: "every day at 03:00" in shown(app))
        for key, kind, says in (
            ("n", ScheduleForm, "a new schedule"), ("e", ScheduleForm, "schedule night of fired"),
            ("t", Confirm, "Run fired now, as night would?"), ("d", TextPage, "every day at 03:00"),
        ):  # fmt: skip
            await opens(pilot, key, kind, says)
        await tried(pilot, "s", lambda: isinstance(app.screen, Pause))
        await pilot.press("enter")
        await until(pilot, lambda: "paused by" in shown(app))
        await tried(pilot, "s", lambda: "paused by" not in shown(app) and app.screen is page)
        await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm) and "schedule night?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "n makes a schedule" in shown(app))


@tries({LinesPage: "escape q v c", LineView: "j k g G ctrl+f space ctrl+b left right"})
async def test_lines_are_scrolled_and_copied(desk: Desk) -> None:
    stages = {"load": {"script": "\n".join(["echo " + "x" * 200] * 3), "outputs": ["table"]}}
    for n in range(60):
        stages[f"s{n:02}"] = {"script": "true"}
    desk.do(desk.put("long", outputs={"table": {}}, stages=stages))
    app = desk.app("pipeline long")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "61 stages" in shown(app))
        page = app.screen
        await pilot.press("2")
        text = page.query_one("#text", LineView)
        await until(pilot, lambda: text.has_focus and text.max_scroll_y > 2 * text.size.height)
        last, height = text.max_scroll_y, text.scrollable_content_region.height
        steps = [("j", 1), ("k", 0), ("G", last), ("g", 0), ("ctrl+f", height), ("space", 2 * height)]
        await walk(pilot, lambda: text.scroll_offset.y, [*steps, ("ctrl+b", height), ("g", 0)])
        await walk(pilot, lambda: text.scroll_offset.x, [("right", 8), ("right", 16), ("left", 8)])
        await pilot.press("3")
        await until(pilot, lambda: page.query_one(VersionsPanel).table.has_focus)
        for out in ("escape", "q", "v"):
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, LinesPage) and '"name": "long"' in shown(app))
            if out == "v":
                await tried(pilot, "c", lambda: app.clipboard.startswith("{") and '"long"' in app.clipboard)
            await tried(pilot, out, lambda: app.screen is page)


@tries({Editor: "f3 f4 f5 f6 f8 ctrl+l", Parts: "j k"})
async def test_keys_of_the_editor(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "editor"
    script.write_text("#!/bin/sh\nsed -i 's/Learners per region/Readers per region/' \"$1\"\n")
    script.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(script))
    app = desk.app()
    async with app.run_test(size=WIDE) as pilot:
        app.go("edit weekly-learners")
        await until(pilot, lambda: isinstance(app.screen, Editor) and "Learners per region" in app.screen.draft.text)
        editor = app.screen
        assert isinstance(editor, Editor)
        monkeypatch.setattr(app, "suspend", contextlib.nullcontext)  # there is no terminal to be given away
        parts = editor.query_one(Parts)
        await until(pilot, lambda: parts.has_focus and parts.highlighted == 0)
        await walk(pilot, lambda: parts.highlighted, [("j", 1), ("j", 2), ("k", 1), ("k", 0)])
        await tried(pilot, "ctrl+l", lambda: editor.query_one("#lint").has_focus)
        await tried(pilot, "f3", lambda: editor.query_one("#json", TextArea).has_focus and '"stages": {' in shown(app))
        await tried(pilot, "f3", lambda: parts.has_focus and "what it is for" in shown(app))
        await tried(pilot, "f4", lambda: "Readers per region" in editor.draft.text and "Readers" in shown(app))
        await tried(pilot, "f5", lambda: "a new stage: what is it written in?" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is editor and "stage-1" in shown(app))
        await tried(pilot, "f6", lambda: isinstance(app.screen, Confirm) and "Remove the stage stage-1?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: app.screen is editor and "stage-1" not in editor.draft.text)
        await tried(pilot, "f8", lambda: isinstance(app.screen, Confirm) and "Throw away all changes?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: editor not in app.screen_stack)
        app.go("edit weekly-learners")
        await until(pilot, lambda: isinstance(app.screen, Editor) and "Learners per region" in app.screen.draft.text)


@tries({Editor: "ctrl+s f2", Compare: "escape pagedown pageup down up"})
async def test_what_is_stored_is_looked_at_first(desk: Desk) -> None:
    stages = {f"s{n:02}": {"script": "true"} for n in range(40)}
    desk.do(desk.put("stored", stages=stages))
    app = desk.app()
    async with app.run_test(size=NARROW) as pilot:
        app.go("edit stored")
        await until(pilot, lambda: isinstance(app.screen, Editor) and "s39" in app.screen.draft.text)
        editor = app.screen
        assert isinstance(editor, Editor)
        await pilot.press("f3")
        area = editor.query_one("#json", TextArea)
        await until(pilot, lambda: area.has_focus)
        area.load_text(area.text.replace('"true"', '"exit 0"'))
        await until(pilot, lambda: "exit 0" in editor.draft.text)
        await tried(pilot, "f2", lambda: isinstance(app.screen, Compare) and "store stored?" in shown(app))
        difference = app.screen.query_one("#difference")
        await until(pilot, lambda: difference.max_scroll_y > 21)
        steps = [("down", 1), ("down", 2), ("up", 1), ("pagedown", 21), ("pageup", 1)]
        await walk(pilot, lambda: difference.scroll_offset.y, steps)
        await tried(pilot, "escape", lambda: app.screen is editor)
        await tried(pilot, "ctrl+s", lambda: isinstance(app.screen, Compare) and "store stored?" in shown(app))
        await pilot.press(*"calmer", "enter")
        await until(pilot, lambda: "stored is v2 now" in told(app) and isinstance(app.screen, PipelineScreen))
    assert desk.do(desk.ask("GET", "/pipelines/stored/versions/2")).json()["message"] == "calmer"


@tries({ScheduleForm: "escape ctrl+s f2", Form: "tab shift+tab"})
async def test_keys_of_the_form_of_a_schedule(desk: Desk) -> None:
    app = desk.app("schedules")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "monday-6" in shown(app))
        page = app.screen

        def cron() -> str:
            found: list[str] = desk.do(desk.ask("GET", "/schedules/monday-6")).json()["cron"]
            return found[0]

        for key, before, after in (
            ("escape", "0 6 * * MON", "0 6 * * MON"), ("ctrl+s", "0 6 * * MON", "30 6 * * MON"),
            ("f2", "30 6 * * MON", "45 6 * * MON"),
        ):  # fmt: skip
            await pilot.press("e")
            await until(pilot, lambda: isinstance(app.screen, ScheduleForm) and app.screen._was is not None)
            form = app.screen
            await until(pilot, lambda form=form: form.focused.id == "cron")  # type: ignore[misc]
            await tried(pilot, "tab", lambda form=form: form.focused.id != "cron")  # type: ignore[misc]
            await tried(pilot, "shift+tab", lambda form=form: form.focused.id == "cron")  # type: ignore[misc]
            app.screen.query_one("#cron", Input).value = "45 6 * * MON" if key == "f2" else "30 6 * * MON"
            await until(pilot, lambda: "after this change" in shown(app))
            assert cron() == before
            await tried(pilot, key, lambda: app.screen is page)
            assert cron() == after
