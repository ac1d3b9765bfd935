"""Keys of the editor, the grid and the pulse that change or open something."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from backend.run.state import RunState
from khantui.screens.ask import Confirm, Trigger
from khantui.screens.editor import Editor
from khantui.screens.grid import GridScreen
from khantui.screens.pulse import Pulse
from khantui.screens.run import RunScreen
from khantui.screens.text import TextPage
from tests.tui.conftest import shown, told, until
from tests.tui.desk import Desk, failed

pytestmark = pytest.mark.slow
WIDE = (130, 40)


async def test_the_document_goes_through_ones_own_editor(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "editor"
    script.write_text("#!/bin/sh\nsed -i 's/Learners per region/Readers per region/' \"$1\"\n")
    script.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(script))
    app = desk.app("edit weekly-learners")
    async with app.run_test(size=WIDE) as pilot:
        editor = app.screen
        assert isinstance(editor, Editor)
        await until(pilot, lambda: "Learners per region" in editor.draft.text)
        monkeypatch.setattr(app, "suspend", contextlib.nullcontext)  # there is no terminal to be given away
        await pilot.press("f4")
        await until(pilot, lambda: "Readers per region" in editor.draft.text and "Readers per region" in shown(app))


async def test_a_stage_is_removed_and_the_changes_thrown_away(desk: Desk) -> None:
    app = desk.app("runs")
    async with app.run_test(size=WIDE) as pilot:
        app.go("edit weekly-learners")
        await until(pilot, lambda: isinstance(app.screen, Editor) and '"plot"' in app.screen.draft.text)
        editor = app.screen
        assert isinstance(editor, Editor)
        await until(pilot, lambda: "plot" in shown(app))
        await pilot.press("G", "end", "up")  # the last stage, before what makes a new one
        await until(pilot, lambda: editor._part.startswith("stage:"))
        name = editor._part.removeprefix("stage:")
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and f"Remove the stage {name}?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: app.screen is editor and f"stage:{name}" not in shown(app))
        await until(pilot, lambda: f'"{name}": {{\n      "script"' not in editor.draft.text)
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and "Throw away all changes?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: editor not in app.screen_stack)


async def test_keys_of_the_grid_act_on_its_run_and_stage(desk: Desk) -> None:
    app = desk.app("grid weekly-learners")
    async with app.run_test(size=WIDE) as pilot:
        grid = app.screen
        assert isinstance(grid, GridScreen)
        await until(pilot, lambda: grid.cell is not None and grid.cell[1].run.id == desk.failed)
        await pilot.press("h")
        await until(pilot, lambda: grid.cell is not None and grid.cell[1].run.id != desk.failed)
        await pilot.press("l", "g")
        await until(pilot, lambda: grid.cell is not None and grid.view.line == 0)
        await pilot.press("j")
        await until(pilot, lambda: grid.view.line == 1)
        await pilot.press("k")
        await until(pilot, lambda: grid.view.line == 0)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Trigger))
        await pilot.press("escape", "d")
        await until(pilot, lambda: isinstance(app.screen, TextPage))
        await pilot.press("escape", "c", "x")
        assert app.clipboard == desk.failed
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_keys_of_the_pulse_act_on_what_the_cursor_is_at(desk: Desk) -> None:
    app = desk.app("pulse")
    async with app.run_test(size=WIDE) as pilot:
        pulse = app.screen
        assert isinstance(pulse, Pulse)
        await until(pilot, lambda: pulse.sections.chosen is not None and pulse.sections.chosen.run_id == desk.failed)
        await pilot.press("c")
        assert app.clipboard == desk.failed
        for key, kind in (("t", Trigger), ("w", TextPage), ("d", TextPage), ("x", GridScreen), ("l", RunScreen)):
            await pilot.press(key)
            await until(pilot, lambda kind=kind: isinstance(app.screen, kind))  # type: ignore[misc]
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is pulse)
        await pilot.press("tab")
        await until(pilot, lambda: pulse.sections.chosen is not None and pulse.sections.chosen.run_id != desk.failed)
        await pilot.press("shift+tab")
        await until(pilot, lambda: pulse.sections.chosen is not None and pulse.sections.chosen.run_id == desk.failed)


async def test_the_grid_retries_a_run_and_from_a_stage(desk: Desk) -> None:
    old, new = (desk.do(desk.run_of("etl-daily", RunState.FAILED, m, 60.0, [failed("load", m)])) for m in (50, 30))
    app = desk.app("grid etl-daily")
    async with app.run_test(size=WIDE) as pilot:
        grid = app.screen
        assert isinstance(grid, GridScreen)
        await until(pilot, lambda: grid.cell is not None)
        await pilot.press("h")
        await until(pilot, lambda: grid.cell is not None and grid.cell[1].run.id == new)
        await pilot.press("r")
        await until(pilot, lambda: "what failed runs again" in told(app))
        await pilot.press("h")
        await until(pilot, lambda: grid.cell is not None and grid.cell[1].run.id == old)
        await pilot.press("R")
        await until(pilot, lambda: "everything from load on runs again" in told(app))
    for run in (old, new):
        assert desk.do(desk.ask("GET", f"/runs/{run}")).json()["asked"] == ["retry"]  # there is nobody to do it here
