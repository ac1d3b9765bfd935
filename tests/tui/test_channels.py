"""Channels by keys: made, tested against a service that hears it, changed and removed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from khantui.screens.ask import Confirm
from khantui.screens.channels import ChannelForm, Channels
from khantui.screens.form import Storing
from khantui.screens.text import TextPage
from tests.tui.conftest import fill, shown, until
from tests.tui.desk import Desk
from tests.tui.trial import tried, tries

pytestmark = pytest.mark.slow
WIDE = (130, 40)


@pytest.fixture
def service() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A URL that takes messages, and those that came."""
    heard: list[dict[str, Any]] = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_address[1]}/s3cr3t", heard
        server.shutdown()


@tries({Channels: "n t e ctrl+d", Storing: "escape ctrl+s f2"})
async def test_one_is_made_tested_changed_and_removed(desk: Desk, service: tuple[str, list[dict[str, Any]]]) -> None:
    url, heard = service
    app = desk.app("channels")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "there is no channel yet" in shown(app))
        channels = app.screen
        await tried(pilot, "n", lambda: isinstance(app.screen, ChannelForm))
        await tried(pilot, "escape", lambda: app.screen is channels)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, ChannelForm))
        await fill(pilot, name="oncall", urls="nonsense")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query_one("#wrong").display)
        await fill(pilot, urls=url, every="5m")
        assert "s3cr3t" not in shown(app)
        await tried(pilot, "ctrl+s", lambda: "oncall" in shown(app) and app.screen is channels)
        await tried(pilot, "t", lambda: isinstance(app.screen, TextPage) and "it was sent" in shown(app))
        assert len(heard) == 1
        assert "s3cr3t" not in shown(app)
        await pilot.press("escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "gathers for   300 s" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is channels)
        await tried(pilot, "e", lambda: isinstance(app.screen, ChannelForm))
        await fill(pilot, every="10s")
        await tried(pilot, "f2", lambda: app.screen is channels)
        view = desk.do(desk.ask("GET", "/channels/oncall")).json()
        assert view["every"] == 10
        assert view["services"]  # they stay, though no URL was written
        asks = "Remove the channel oncall?"
        await tried(pilot, "ctrl+d", lambda: isinstance(app.screen, Confirm) and asks in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "there is no channel yet" in shown(app))


async def test_a_service_that_does_not_answer_is_told_by_its_test(desk: Desk) -> None:
    desk.do(desk.ask("PUT", "/channels/nobody", {"urls": ["json://127.0.0.1:9/s3cr3t"]}))
    app = desk.app("channels")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "nobody" in shown(app))
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TextPage) and "it does not work" in shown(app))
        assert "✖" in shown(app)
    desk.do(desk.ask("DELETE", "/channels/nobody", status=204))
