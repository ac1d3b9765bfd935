"""The forecast by keys: what starts when, and from there to the schedule."""

from __future__ import annotations

import pytest

from khantui.screens.forecast import Forecast
from khantui.screens.timing import ScheduleForm
from tests.tui.conftest import shown, until
from tests.tui.desk import Desk

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", [(130, 40), (80, 24)])
async def test_forty_at_once_are_seen_and_opened(desk: Desk, size: tuple[int, int]) -> None:
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
        await pilot.press("enter", *"jjj", "enter")
        await until(pilot, lambda: isinstance(app.screen, ScheduleForm))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("z")
        await until(pilot, lambda: "48 hours" in shown(app))
