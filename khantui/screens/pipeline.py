"""One pipeline: its graph before it ever ran, its document and versions, who reads what of it, and its schedules."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import TabbedContent, TabPane
from textual.widgets.tabbed_content import ContentTabs

from backend.api.wire import EventView, PipelineView, VersionView
from khantui.errors import Failure
from khantui.render.jsontext import document_lines
from khantui.render.moments import ago
from khantui.render.status import symbol
from khantui.render.text import visible
from khantui.screens import acts
from khantui.screens.firings import FiringsPanel
from khantui.screens.page import LinesPage
from khantui.screens.ties import TiesPanel
from khantui.screens.versions import VersionsPanel
from khantui.screens.view import View
from khantui.state import lineage
from khantui.widgets.graph_view import GraphView
from khantui.widgets.line_view import LineView
from khantui.widgets.prompt import Kind, Prompt
from khantui.widgets.stage_picture import StagePicture

_PARTS = {  # of each tab: its title, and what in it has the keys
    "graph": ("graph", "#plan"),
    "document": ("document", "#text"),
    "versions": ("versions", "#version-table"),
    "lineage": ("who reads what", "#tie-table"),
    "schedules": ("schedules", "#schedule-table"),
}


class PipelineScreen(View):
    """A pipeline, in five tabs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(n), f"part('{part}')", title, show=False)
            for n, (part, (title, _)) in enumerate(_PARTS.items(), 1)
        ),
        Binding("tab", "step_part(1)", "next tab", show=False, priority=True),
        Binding("shift+tab", "step_part(-1)", "tab before", show=False, priority=True),
        Binding("slash", "prompt('search')", "search"),
        Binding("n", "find(1)", "next match", show=False),
        Binding("N", "find(-1)", "match before", show=False),
        Binding("t", "trigger", "trigger"),
        Binding("e", "edit", "edit"),
        Binding("x", "grid", "grid"),
        Binding("s", "part('schedules')", "schedules", show=False),
        Binding("l,L", "last", "last run"),
        Binding("c", "copy", "copy the document", show=False),
    ]

    def __init__(self, command: str, pipeline: str) -> None:
        super().__init__(command)
        self._pipeline = pipeline
        self._known: PipelineView | None = None
        self._version: VersionView | None = None
        self._document: dict[str, Any] = {}
        self._sought = ""

    def about(self) -> str:
        return self._pipeline

    def body(self) -> Iterable[Widget]:
        name = self._pipeline
        with TabbedContent(initial="graph", id="parts"):
            with TabPane("1 graph", id="graph"), Vertical(id="plan-panel", classes="panel"):
                yield GraphView(id="plan")
            with TabPane("2 document", id="document"), Vertical(id="text-panel", classes="panel"):
                yield LineView(id="text")
            with TabPane("3 versions", id="versions"):
                yield VersionsPanel(name, id="version-panel")
            with TabPane("4 who reads what", id="lineage"):
                yield TiesPanel(name, id="tie-panel")
            with TabPane("5 schedules", id="schedules"):
                yield FiringsPanel(name, id="schedule-panel")

    def on_mount(self) -> None:
        self.query_one(ContentTabs).can_focus = False
        self.focus_body()
        self.load()

    @property
    def tabs(self) -> TabbedContent:
        """The five parts."""
        return self.query_one("#parts", TabbedContent)

    def place(self) -> list[tuple[str, str]]:
        known = self._known
        if known is None:
            return [(f" pipeline {visible(self._pipeline)} …", "faint")]
        last = known.last[0] if known.last else None
        return [
            (f" {visible(known.name)} ", "strong"),
            (symbol(last.state) if last is not None else "", str(last.state) if last is not None else ""),
            (
                f"  v{known.version}, {ago(known.updated, self.host.moment)} by {visible(known.updated_by or '–')}",
                "faint",
            ),
            (f" · {visible(known.owner)}" if known.owner else "", "faint"),
            (f" · {visible(known.description)}" if known.description else "", ""),
        ]

    # what it knows

    @work(group="pipeline", exclusive=True)
    async def load(self) -> None:
        """Ask for the pipeline and its current version."""
        name = self._pipeline
        try:
            known = await self.host.link.ask(lambda c: c.pipeline(name))
            version = await self.host.link.ask(lambda c: c.version(name, known.version))
            used = await self._used(version)
        except Failure as failure:
            if failure.exit_code != 3:
                self.host.say(failure)
            if self._known is None:
                self.query_one("#plan-panel").border_title = Content(visible(failure.message))
            return
        before, self._known, self._version = self._version, known, version
        text = version.document if isinstance(version.document, str) else ""
        self._document = lineage.parse(text)
        if before is None or before.version != version.version:
            self.query_one("#text", LineView).show(document_lines(text), numbered=True)
            self.query_one("#text-panel").border_title = f"v{version.version}"
            self._draw(version, used)
            self.query_one(VersionsPanel).load()
        self.show_heading()

    async def _used(self, version: VersionView) -> dict[str, dict[str, Any]]:
        """The stages of other pipelines that this version uses, by `pipeline/stage`."""
        found = {}
        for path, pipeline, stage, number in lineage.pinned(version.pins):
            other = await self.host.link.ask(lambda c, p=pipeline, n=number: c.version(p, n))  # type: ignore[misc]
            _, said = lineage.stage_named(lineage.parse(other.document), stage)
            found[path] = said if isinstance(said, dict) else {}
        return found

    def _draw(self, version: VersionView, used: dict[str, dict[str, Any]]) -> None:
        plan = version.plan if isinstance(version.plan, dict) else {}
        nodes = lineage.nodes(self._document, plan, used)
        self.query_one("#plan", GraphView).show(nodes)
        panel, path = self.query_one("#plan-panel"), plan.get("critical_path", ())
        levels, width = len(plan.get("levels", ())), plan.get("width", 1)
        panel.border_title = f"{len(nodes)} stage{'s' * (len(nodes) != 1)} in {levels} level{'s' * (levels != 1)}, " + (
            f"up to {width} at once" if width > 1 else "one after another"
        )
        panel.border_subtitle = Content(visible(f"critical path: {' → '.join(path)}" if len(path) > 1 else ""))

    def hear(self, events: Sequence[EventView]) -> None:
        if any(e.kind == "relist" or (e.kind == "pipeline" and e.id == self._pipeline) for e in events):
            self.load()

    def overview_changed(self) -> None:
        super().overview_changed()
        self.query_one(FiringsPanel).load()

    # the tabs

    def action_part(self, part: str) -> None:
        """To a tab."""
        self.tabs.active = part

    def action_step_part(self, by: int) -> None:
        """To the next tab, or the one before."""
        parts = list(_PARTS)
        at = parts.index(self.tabs.active) if self.tabs.active in parts else 0
        self.tabs.active = parts[(at + by) % len(parts)]

    def on_tabbed_content_tab_activated(self, message: TabbedContent.TabActivated) -> None:
        self.focus_body()
        if self.tabs.active == "lineage":
            self.query_one(TiesPanel).load()
        elif self.tabs.active == "schedules":
            self.query_one(FiringsPanel).load()

    def focus_body(self) -> None:
        _, selector = _PARTS.get(self.tabs.active, _PARTS["graph"])
        self.query_one(selector).focus()

    def on_stage_picture_opened(self, message: StagePicture.Opened) -> None:
        name, said = lineage.stage_named(self._document, message.name)
        text = json.dumps(said, indent=2, ensure_ascii=False)
        self.app.push_screen(LinesPage(f"{self._pipeline} › {name}", document_lines(text)))

    # keys

    def on_prompt_said(self, message: Prompt.Said) -> None:
        if message.kind == "search":
            message.stop()
            message.prevent_default()  # else the tab that had the keys gets them back, and comes to the front with them
            self.said("search", message.text.strip())

    def said(self, kind: Kind, text: str) -> None:
        """Search the document."""
        self._sought = text
        self.query_one("#text").focus()  # which brings its tab to the front
        self.action_find(1, fresh=True)

    def action_find(self, by: int, fresh: bool = False) -> None:
        """The next line of the document that says it."""
        view = self.query_one("#text", LineView)
        if not view.find(self._sought, by, fresh=fresh) and self._sought:
            self.notify(f"nothing in the document says {self._sought!r}", markup=False)

    def action_refresh(self) -> None:
        """Ask for everything again."""
        self._version = None
        self.load()

    @work(group="act")
    async def action_trigger(self) -> None:
        """Start it."""
        started = await acts.trigger(self.host, self._pipeline)
        if started is not None:
            self.host.go(f"run {started.id}")

    def action_edit(self) -> None:
        """Edit its document."""
        self.host.go(f"edit {self._pipeline}")

    def action_grid(self) -> None:
        """Its runs and their stages as a grid."""
        self.host.go(f"grid {self._pipeline}")

    def action_last(self) -> None:
        """Its newest run."""
        known = self.host.overview.pipelines.get(self._pipeline) or self._known
        if known is not None and known.last:
            self.host.go(f"run {known.last[0].id}")
        else:
            self.notify("it has not run yet: t starts it", markup=False)

    def action_copy(self) -> None:
        """Put the document on the clipboard."""
        if self._version is not None and isinstance(self._version.document, str):
            self.app.copy_to_clipboard(self._version.document)
            self.notify("copied the document", markup=False)
