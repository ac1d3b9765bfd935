"""A form whose daemon is killed while it is being filled in: nothing is lost, and what is stored is stored once."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input

from khantui.api.address import of_socket
from khantui.app import KhantuiApp
from khantui.screens.compare import Compare
from khantui.screens.editor import Editor
from khantui.screens.pipeline import PipelineScreen
from khantui.state import drafts
from tests.e2e.daemon import Daemon
from tests.tui.conftest import shown, told, until

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KHANTUI_CONFIG", str(tmp_path / "config"))


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="kh") as folder:  # a path short enough for a socket
        found = Daemon(Path(folder))
        try:
            yield found
        finally:
            found.close()


async def test_a_daemon_that_dies_before_the_form_is_stored(daemon: Daemon) -> None:
    daemon.start()
    app = KhantuiApp(of_socket(daemon.socket), start="new")
    async with app.run_test(size=(130, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, Editor) and "nothing to find fault with" in shown(app))
        await until(pilot, lambda: app.overview.loaded)
        await pilot.press("tab")
        assert isinstance(app.focused, Input)
        await pilot.press(*"weekly")
        await until(pilot, lambda: '"name": "weekly"' in app.screen.draft.text)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Compare))
        daemon.kill()
        await pilot.press("enter")
        await until(pilot, lambda: "it is not stored" in told(app) and "the draft is kept" in told(app), 60)
        assert isinstance(app.screen, Editor)
        kept = drafts.kept("weekly")
        assert kept is not None
        assert json.loads(kept.text)["name"] == "weekly"
        daemon.start()
        await until(pilot, lambda: app.link.state == "live", 60)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Compare))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PipelineScreen), 60)
        assert drafts.kept("weekly") is None
    assert daemon.http.get("/pipelines/weekly").json()["version"] == 1


async def test_a_form_that_was_stored_though_nobody_heard_of_it(daemon: Daemon) -> None:
    daemon.start()
    app = KhantuiApp(of_socket(daemon.socket), start="new weekly")
    async with app.run_test(size=(130, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, Editor) and "nothing to find fault with" in shown(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Compare))
        # as it is when the daemon is killed between storing it and saying so
        assert daemon.http.post("/pipelines", json={"document": app.screen_stack[-2].draft.text}).is_success
        daemon.kill()
        daemon.start()
        await until(pilot, lambda: app.link.state == "live", 60)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PipelineScreen), 60)
    assert daemon.http.get("/pipelines/weekly").json()["version"] == 1
