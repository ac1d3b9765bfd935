"""What the screens look like, at the smallest size and at a large one, on dark and light.

After a change that is meant: `make test ARGS="tests/tui/test_pictures.py --snapshot-update"`, and look at the pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.widgets import Input

from backend.api.wire import DaemonView
from khantui.api.client import Client
from tests.tui.conftest import shown, until
from tests.tui.desk import Desk

pytestmark = pytest.mark.slow
SIZES = {"small": (80, 24), "large": (200, 60)}
# where a command leads, what shows that it is all there, and the keys pressed then
SCREENS: dict[str, tuple[str, str, list[str]]] = {
    "runs": ("runs", "1 failing", []),
    "run": ("run weekly-learners", "BadRequest", []),
    "why": ("run weekly-learners", "BadRequest", ["w"]),
    "pipelines": ("pipelines", "etl-daily", []),
    "schedules": ("schedules", "monday-6", []),
    "grid": ("grid weekly-learners", "by_region", []),
    "pipeline": ("pipeline weekly-learners", "by_region", []),
    "editor": ("edit weekly-learners", "what it is for", []),
    "pulse": ("pulse", "Last 24 hours", []),
    "artifacts": ("artifacts regions", "africa", []),
    "schedule": ("schedules", "monday-6", ["e"]),
    "table": ("artifacts regions", "africa", ["v"]),
    "palette": ("runs", "1 failing", ["ctrl+p"]),
    "help": ("runs", "1 failing", ["question_mark"]),
    "merged": ("log weekly-learners *", "BadRequest", ["t"]),
    "search": ("search weekly-learners exit|regoin", "that is all", ["j", "j"]),
}
THEN = {
    "schedule": "after this change",
    "table": "3 rows, 2 columns",
    "pulse": "leader",
    "palette": "failed only",
    "merged": "line 2,004",
}  # comes behind the keys

TYPED = ("schedule", "palette", "help")


@pytest.fixture(autouse=True)
def _on_no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine that the test runs on is in its pictures."""
    ask = Client.daemon

    def daemon(client: Client) -> DaemonView:
        found = ask(client)
        return replace(found, data="/var/lib/khantui", pid=4242, store={**found.store, "size": 12_345})

    monkeypatch.setattr(Client, "daemon", daemon)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("screen", SCREENS)
def test_picture(desk: Desk, snap_compare: Callable[..., bool], screen: str, size: str, theme: str) -> None:
    command, sign, keys = SCREENS[screen]
    app = desk.app(command)
    app.theme = f"khantui-{theme}"

    async def before(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: sign in shown(app) and bool(re.search("1 failing|dialog", shown(app))))
        await pilot.press(*keys)
        await until(pilot, lambda: not any(w.is_running for w in app.workers if w.group != "log"))
        if screen in THEN:
            await until(pilot, lambda: THEN[screen] in shown(app))
        if screen in TYPED:  # the cursor is there when the field has the keys, a little later than the field itself
            await until(pilot, lambda: isinstance(app.screen.focused, Input) and app.screen.focused.has_focus)
        for field in app.screen.query(Input):
            field.cursor_blink = False
        await pilot.pause()

    assert snap_compare(app, terminal_size=SIZES[size], run_before=before)
