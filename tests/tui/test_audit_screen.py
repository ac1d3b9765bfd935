"""The journal by keys: found, narrowed by conditions, and read entry by entry."""

from __future__ import annotations

import pytest

from khantui.screens.audit import Audit
from khantui.screens.text import TextPage
from tests.tui.conftest import shown, told, until
from tests.tui.desk import Desk
from tests.tui.test_keys import say

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", [(130, 40), (80, 24)])
async def test_who_did_what_is_found_and_read_whole(desk: Desk, size: tuple[int, int]) -> None:
    desk.do(desk.ask("PUT", "/channels/oncall", {"urls": ["json://127.0.0.1:9/s3cr3t"], "title": "before"}))
    desk.do(desk.ask("PUT", "/channels/oncall", {"title": "after"}))
    desk.do(desk.ask("DELETE", "/channels/oncall", status=204))
    app = desk.app("audit")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, Audit) and "delete_channel" in shown(app))
        assert "put_channel" in shown(app)
        await pilot.press("slash", *"put_channel", "enter")
        await until(pilot, lambda: "put_channel" in shown(app) and "delete_channel" not in shown(app))
        await pilot.press("g", "enter")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "channels/oncall" in shown(app))
        assert "proven by       socket" in shown(app)
        assert "s3cr3t" not in shown(app)
        await pilot.press("escape", "ctrl+z")
        await until(pilot, lambda: "the journal has no such entry" in shown(app) or "denied" in shown(app))
        await say(pilot, "audit whom=ann")
        await until(pilot, lambda: "entries have no 'whom'" in told(app))
