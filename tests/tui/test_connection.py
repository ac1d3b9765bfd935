"""Daemons that go away and come back, others that are gone over to, and what hostile names and logs do: nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual import work
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Static

from backend.run.state import RunState
from backend.store.standing import FULL
from khantui import app as app_module
from khantui.api.contexts import Context, Contexts, save
from khantui.screens.run import RunScreen
from tests.tui.conftest import shown, told, until
from tests.tui.desk import Desk, failed, stage
from tests.tui.test_keys import listed, say

pytestmark = pytest.mark.slow
EVIL = [
    "\x1b[2J\x1b[H\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07gone?",
    "[red]not markup[/red] [@click=app.quit]no link[/]",
    "e\u0301" * 40 + " 漢字漢字 \u202egnp.exe\u202c \u200b\u2066x",
    "\x00\x07\x08\x7f\x9b31m" + "A" * 200,
    "x" * 1_000_000,
    "progress 1%\rprogress 100%",
]


async def test_what_happened_while_a_list_was_on_its_way_is_in_it(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test(size=(130, 40)) as pilot:
        await until(pilot, lambda: app.screen.rows.loaded)
        for number in range(5):
            app.screen.list_anew()
            run = desk.do(
                desk.run_of("regions", RunState.SUCCEEDED, -number - 1, 3.0, [stage("load", "succeeded", 1, 3)])
            )
            await until(pilot, lambda run=run: next(iter(app.screen.rows.known())).id == run)


class Slow(ModalScreen[None]):
    """Its worker is answered while its widgets are taken away."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = asyncio.Event()
        self.late = False

    def compose(self) -> ComposeResult:
        answered = self.answered

        class Going(Static):
            def on_unmount(self) -> None:
                answered.set()

        yield Going(id="field")

    @work
    async def ask(self) -> None:
        await self.answered.wait()
        self.late = True
        self.query_one("#field", Static).update("here it is")


async def test_an_answer_that_comes_as_its_screen_is_left_does_no_harm(desk: Desk) -> None:
    app = desk.app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.screen.rows.loaded)
        runs, slow = app.screen, Slow()
        await app.push_screen(slow)
        slow.ask()
        await pilot.pause()
        slow.dismiss()
        await until(pilot, lambda: app.screen is runs and slow.answered.is_set() and not slow.is_running)
        await pilot.pause()
    assert not slow.late


async def test_a_daemon_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a")
    desk.start()
    desk.do(desk.furnish())
    app = desk.app()
    async with app.run_test(size=(130, 40)) as pilot:
        await until(pilot, lambda: "1 failing" in shown(app) and "⟲ live" in shown(app))
        desk.pause()
        await until(pilot, lambda: "away for" in shown(app), 20)
        assert "weekly-learners" in shown(app)  # what was there can still be read
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        desk.go_on()
        await until(pilot, lambda: "⟲ live" in shown(app) and "BadRequest" in shown(app), 20)
    desk.stop()


async def test_over_to_another_daemon(desk: Desk, tmp_path: Path) -> None:
    other = Desk(tmp_path / "b")
    other.start()
    save(Contexts(contexts={"prod": Context(f"unix://{other.socket}", read_only=True)}))
    app = desk.app()
    async with app.run_test(size=(130, 40)) as pilot:
        await until(pilot, lambda: app.screen.rows.loaded)
        await say(pilot, "ctx")
        await until(pilot, lambda: "prod" in told(app))
        await say(pilot, "ctx prod")
        await until(pilot, lambda: "nothing has run yet" in shown(app) and "read-only" in shown(app))
        assert "khantui prod" in shown(app)
        assert listed(app) == []
        await say(pilot, "ctx nowhere")
        await until(pilot, lambda: "no context 'nowhere'" in told(app))
    other.stop()


async def test_a_hostile_log_paints_nothing_outside_its_place(desk: Desk) -> None:
    run = desk.do(desk.run_of("weekly-learners", RunState.FAILED, 400, 9.0, [failed("by_region", 400)], total=4))
    desk.do(desk.write_log(run, "by_region", 2, EVIL))
    app = desk.app(f"log {run} by_region")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "not markup" in shown(app) and "progress 100%" in shown(app))
        assert "[red]not markup[/red]" in shown(app)
        await pilot.press("t", "J", "w")
        await until(pilot, lambda: "xxxxx" in shown(app))
        text = shown(app)
        assert not set(text) & set(map(chr, [*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200B]))
        lines = text.split("\n")
        assert all("│" in line for line in lines[10:20])  # the frame stands


async def test_a_store_that_is_full_or_away_is_said_on_every_screen(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "HEALTH", 0.1)
    app = desk.app()
    async with app.run_test(size=(130, 40)) as pilot:
        await until(pilot, lambda: "⟲ live" in shown(app))
        desk.standing.state, desk.standing.message = "full", FULL
        await until(pilot, lambda: "✖ etcd is full: read-only" in shown(app))
        assert FULL in told(app)
        desk.standing.state, desk.standing.message = "away", "etcd does not answer"
        await until(pilot, lambda: "✖ etcd is away" in shown(app))
        desk.standing.state, desk.standing.message = "ok", ""
        await until(pilot, lambda: "✖ etcd" not in shown(app))
