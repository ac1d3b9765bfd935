"""Backfills by keys: started after a look at them, paused, resumed and cancelled."""

from __future__ import annotations

import pytest

from khantui.screens.ask import Confirm
from khantui.screens.runs import Runs
from tests.tui.conftest import shown, until
from tests.tui.desk import Desk

pytestmark = pytest.mark.slow


async def test_one_is_started_paused_resumed_and_cancelled(desk: Desk) -> None:
    app = desk.app("backfills")
    async with app.run_test(size=(130, 40)) as pilot:
        await until(pilot, lambda: "there is no backfill yet" in shown(app))
        app.go("backfill regions 2026-03-01 2026-03-31 1d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "31 runs?" in shown(app)
        assert "… and 23 more" in shown(app)
        await pilot.press("y")
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
