"""The screens of one run's artifacts and of one pipeline, before a stand-in for the daemon's client."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

import khantui.app
from backend.api.wire import (
    Applied,
    ArtifactView,
    FiringView,
    ForesightView,
    PipelineView,
    RunView,
    ScheduleView,
    VersionDiff,
    VersionView,
)
from backend.run.state import ArtifactRecord, RunState, Trigger
from khantui.api.client import Client
from khantui.errors import Failure
from khantui.screens.artifacts import Artifacts
from khantui.screens.ask import Confirm
from khantui.screens.host import Host
from khantui.screens.page import LinesPage
from khantui.screens.pipeline import PipelineScreen
from khantui.state.link import Link
from khantui.state.overview import Overview
from khantui.theme import THEMES, defaults
from khantui.widgets.graph_view import GraphView
from khantui.widgets.line_view import LineView
from khantui.widgets.resource_table import ResourceTable

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
RUN = RunView(
    id="01m87ddm6t-7f3k2a", pipeline="weekly", version=2, state=RunState.SUCCEEDED, logical_time=NOW, zone="UTC",
    created=NOW, started=NOW, ended=NOW, parameters={}, trigger=Trigger("manual"), message="", ending="", round=1,
    progress={"total": 2}, revision=1,
)  # fmt: skip
CONTENTS = {
    "notes": b"one\n\x1b[2J[red]two[/red]\n",
    "table": b"city,rain\nOslo,7\nBergen,120\n",
    "tree/[b]deep/data.csv": b"a,b\n1,2\n",
    "tree/x.txt": b"inside\n",
}
FIRST = {"outputs": {"table": {}}, "stages": {"load": {"outputs": ["table"]}, "[red]draw": {"inputs": ["table"]}}}
PLAN = {"levels": [["load"], ["[red]draw"]], "width": 1, "critical_path": ["load", "[red]draw"]}


class StandIn:
    """Answers as the client does, and remembers what was asked of it to change."""

    def __init__(self) -> None:
        self.http = self
        self.streamed: list[str] = []
        self.changed: list[str] = []

    # artifacts

    def find_run(self, named: str) -> RunView:
        if named not in (RUN.id, "weekly"):
            raise Failure(f"there is no run {named!r}")
        return RUN

    def artifacts(self, run: str) -> list[ArtifactView]:
        def of(name: str, kind: Any, size: int) -> ArtifactView:
            return ArtifactView(name, "", "output", "make", 1, ArtifactRecord(kind, size, 1, f"hash of {name}"))

        return [of("notes", "file", 27), of("table", "file", 26), of("tree", "folder", 15)]

    def artifact(self, run: str, view: ArtifactView, path: str = "") -> Iterator[bytes]:
        name = f"{view.name}/{path}".rstrip("/")
        self.streamed.append(name)
        yield tree() if name == "tree" else CONTENTS[name]

    # pipelines

    def pipeline(self, name: str) -> PipelineView:
        if name != "weekly":
            raise Failure(f"there is no pipeline {name!r}")
        return pipeline("weekly", 2)

    def versions(self, name: str) -> Iterator[VersionView]:
        return iter([version(name, 2), version(name, 1)])

    def version(self, name: str, number: int) -> VersionView:
        document: dict[str, Any] = {"name": name, "version": number, **FIRST}
        if name == "reader":
            document = {"inputs": {"in": {"from": "weekly/table"}}, "stages": {}}
        return version(name, number, document=json.dumps(document, indent=2), plan=PLAN)

    def diff(self, name: str, old: int, new: int) -> VersionDiff:
        return VersionDiff(name, old, new, (f"--- v{old}", f"+++ v{new}", "-was", "+[red]is\x1b[2J", "+more"))

    def rollback(self, name: str, number: int) -> Applied:
        self.changed.append(f"rollback {name} to {number}")
        return Applied(name, 3, "updated", ())

    def foresight(self, name: str, count: int) -> ForesightView:
        times = [NOW.replace(day=n) for n in range(24, 29)]
        last = FiringView(times[-1], ("reader",), due_by=times[-1], late=True)
        firings = (*(FiringView(at, ()) for at in times[:-1]), last)
        return ForesightView("every day", firings, zone="Europe/Berlin", warnings=("it fires twice",))


def tree() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in CONTENTS.items():
            if name.startswith("tree/"):
                info = tarfile.TarInfo(name.removeprefix("tree/"))
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def pipeline(name: str, number: int) -> PipelineView:
    return PipelineView(name, number, "", "", {}, 2, 1, (), NOW, "alice", (RUN,) if name == "weekly" else (), 1)


def version(name: str, number: int, **details: Any) -> VersionView:
    return VersionView(name, number, number == 2, NOW, "alice", f"[red]{number}", "", {}, **details)


SCHEDULE = ScheduleView(
    name="monday", pipeline="weekly", kind="cron", cron=("0 6 * * *",), zone="Europe/Berlin", at=None, after=(),
    parameters={}, catch_up="latest", paused=False, paused_by="", paused_reason="", created=NOW, created_by="",
    last_tick=None, last_run="", last_state="", next=(NOW.replace(day=24),), done=False, message="", revision=1,
    when="every day at 06:00",
)  # fmt: skip


class Stand(Host):
    """An application with one screen, that remembers where it was sent."""

    CSS_PATH = Path(khantui.app.__file__).with_name("khantui.tcss")
    HORIZONTAL_BREAKPOINTS = khantui.app.KhantuiApp.HORIZONTAL_BREAKPOINTS

    def __init__(self, screen: Screen[None]) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = "khantui-dark"
        self.animation_level = "none"
        self.client = StandIn()
        self.link = Link(cast(Client, self.client))
        self.overview = Overview()
        self.overview.load([pipeline("weekly", 2), pipeline("reader", 1)], [SCHEDULE], [])
        self.went: list[str] = []
        self._opened = screen

    @property
    def moment(self) -> datetime:
        return NOW

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return defaults(dark=True)

    def go(self, command: str, *, remember: bool = True) -> None:
        self.went.append(command)

    def on_mount(self) -> None:
        self.push_screen(self._opened)


def artifacts() -> Stand:
    return Stand(Artifacts("artifacts weekly", "weekly"))


def one_pipeline(name: str = "weekly") -> Stand:
    return Stand(PipelineScreen(f"pipeline {name}", name))


async def settle(pilot: Pilot[Any]) -> None:
    """Until all that was asked is answered and drawn."""
    for _ in range(3):  # an answer may lead to a question
        await pilot.pause()
        await pilot.app.workers.wait_for_complete([w for w in pilot.app.workers if w.group != "act"])
    await pilot.pause()


def seen(app: Host) -> str:
    strips = app.screen._compositor.render_strips()
    text = "\n".join("".join(segment.text for segment in strip) for strip in strips)
    assert "\x1b" not in text
    return text


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_the_preview_follows_the_cursor(size: tuple[int, int]) -> None:
    app = artifacts()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        assert "1  one" in seen(app)
        assert "2  ␛[2J[red]two[/red]" in seen(app)
        await pilot.press("down")
        await settle(pilot)
        assert "city    rain" in seen(app)
        assert "1  Oslo       7" in seen(app)
        await pilot.press("up")
        await settle(pilot)
        assert "1  one" in seen(app)
        assert app.client.streamed == ["notes", "table"]  # what was fetched is kept


async def test_a_folder_is_gone_into_and_out_of() -> None:
    app = artifacts()
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        await pilot.press("G")
        await settle(pilot)
        assert "folder · 2 files" in seen(app)
        await pilot.press("enter")
        await settle(pilot)
        assert "tree/[b]deep/data.csv" in seen(app)
        await pilot.press("down")
        await settle(pilot)
        assert "1  inside" in seen(app)
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, LinesPage)
        await pilot.press("escape", "escape")
        await settle(pilot)
        assert "folder · 2 files" in seen(app)
        assert app.screen.query_one("#table").has_focus


async def test_a_preview_on_the_whole_screen_the_hash_and_the_json() -> None:
    app = artifacts()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("c")
        assert app.clipboard == "hash of notes"
        await pilot.press("v")
        await settle(pilot)
        assert isinstance(app.screen, LinesPage)
        await pilot.press("v", "y")
        await settle(pilot)
        assert '"sha256": "hash of notes"' in seen(app)


async def test_a_download_writes_over_nothing(tmp_path: Path) -> None:
    app = artifacts()
    target = tmp_path / "there.csv"
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("down")
        await settle(pilot)
        for _ in range(2):
            await pilot.press("ctrl+s")
            await pilot.pause()
            app.screen.query_one(Input).value = str(target)
            await pilot.press("enter")
            await pilot.app.workers.wait_for_complete()
            await pilot.pause()
            assert target.read_bytes() == CONTENTS["table"]
        told = [n.message for n in app._notifications]
        assert any(f"table → {target}" in message for message in told)
        assert any("is there already" in message for message in told)


async def test_conditions_narrow_the_artifacts() -> None:
    app = artifacts()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("slash", *"tab", "enter")
        await settle(pilot)
        assert app.screen.query_one("#table", ResourceTable).current.name == "table"  # type: ignore[union-attr]
        assert cast(Artifacts, app.screen).command == f"artifacts {RUN.id}"
        assert "city    rain" in seen(app)


async def test_a_run_that_is_not_there_says_so() -> None:
    app = Stand(Artifacts("artifacts nope", "nope"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "there is no run 'nope'" in seen(app)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_the_graph_of_a_pipeline_before_it_runs(size: tuple[int, int]) -> None:
    app = one_pipeline()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        assert "◌ load ──▶ ◌ [red]draw" in seen(app)
        assert "critical path: load → [red]draw" in seen(app)
        assert app.screen.query_one(GraphView).has_focus
        await pilot.press("enter")
        await settle(pilot)
        assert '"outputs": [' in seen(app)


async def test_the_tabs_by_number_and_tab() -> None:
    app = one_pipeline()
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        screen = cast(PipelineScreen, app.screen)
        for key, part, focused in (
            ("2", "document", "text"),
            ("tab", "versions", "version-table"),
            ("4", "lineage", "tie-table"),
            ("tab", "schedules", "schedule-table"),
            ("tab", "graph", "plan"),
            ("shift+tab", "schedules", "schedule-table"),
        ):
            await pilot.press(key)
            await settle(pilot)
            assert (screen.tabs.active, screen.focused.id if screen.focused else "") == (part, focused)


async def test_the_document_is_searched() -> None:
    app = one_pipeline()
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("slash", *"RED", "enter")
        await settle(pilot)
        assert cast(PipelineScreen, app.screen).tabs.active == "document"
        view = app.screen.query_one("#text", LineView)
        assert view.find("[red]draw")
        assert not view.find("nothing like it")


async def test_versions_are_compared_and_gone_back_to() -> None:
    app = one_pipeline()
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("3")
        await settle(pilot)
        assert "[red]1" in seen(app)
        await pilot.press("b")
        await settle(pilot)
        assert app.client.changed == []  # it is the current one
        await pilot.press("down", "equals_sign")
        await settle(pilot)
        assert "v1 → v2 · +2 −1 lines" in seen(app)
        assert "+[red]is␛[2J" in seen(app)
        await pilot.press("escape", "b")
        await pilot.pause()
        while not isinstance(app.screen, Confirm):
            await pilot.pause()
        assert "against v2: +2 −1 lines" in seen(app)
        await pilot.press("y")
        await settle(pilot)
        assert app.client.changed == ["rollback weekly to 1"]


async def test_who_reads_what_and_the_way_there() -> None:
    app = one_pipeline()
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("4")
        await settle(pilot)
        assert "1 pipeline depends on it" in seen(app)
        assert "→   table  is read by  reader    in" in seen(app)
        await pilot.press("enter")
        await settle(pilot)
        assert app.went == ["pipeline reader"]


async def test_the_next_firings_of_its_schedules() -> None:
    app = one_pipeline()
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("5")
        await settle(pilot)
        assert "every day at 06:00" in seen(app)
        assert "! it fires twice" in seen(app)
        assert "Sat 28 Nov 2026 07:00 (06:00 UTC)  in 5d  ends by Sat 07:00  ! late for 06:00 UTC" in seen(app)


async def test_the_keys_lead_on() -> None:
    app = one_pipeline()
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("e", "x", "L", "2", "l")
        await settle(pilot)
        assert app.went == ["edit weekly", "grid weekly", f"run {RUN.id}", f"run {RUN.id}"]


async def test_a_pipeline_that_is_not_there_says_so() -> None:
    app = one_pipeline("nope")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "there is no pipeline 'nope'" in seen(app)
