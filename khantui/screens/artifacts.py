"""What a run read and wrote, and what is in it: a list with a preview of what the cursor is at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import msgspec
from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from backend.api.wire import ArtifactView, EventView, RunView
from backend.errors import InvalidRequest
from khantui.api.peek import Member
from khantui.errors import Failure
from khantui.render.jsontext import document_lines
from khantui.render.moments import size
from khantui.render.rows import artifact_columns, artifact_name, short
from khantui.render.status import symbol
from khantui.render.table import Column
from khantui.render.text import visible
from khantui.screens.ask import Line
from khantui.screens.listing import Listing
from khantui.screens.page import LinesPage
from khantui.screens.sample_panel import SamplePanel
from khantui.state.rows import ListRows
from khantui.state.sample import Source, save
from khantui.widgets.prompt import Kind
from khantui.widgets.resource_table import ResourceTable

_PATIENCE = 0.3  # seconds for which changes of the run are gathered
FIELDS = frozenset(("name", "role", "stage", "kind", "sha256", "uri"))


class Artifacts(Listing[ArtifactView]):
    """The artifacts of one run; enter goes into a folder, and shows a file on the whole screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", show=False),
        Binding("v", "view", "view"),
        Binding("ctrl+s", "save", "download"),
        Binding("c", "copy", "copy the hash"),
        Binding("y", "json", "JSON"),
        Binding("tab,shift+tab", "other", "list or preview", show=False, priority=True),
        Binding("r", "run", "the run", show=False),
        Binding("ctrl+z", "faults", "outputs only", show=False),
        Binding("T", "nothing", show=False),  # no column is a time
        Binding("N", "sort('ARTIFACT')", "sort by name", show=False),
        Binding("S", "sort('SIZE')", "sort by size", show=False),
    ]
    TITLE_WORD = "artifacts"
    FAULTS = "role=output"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "ARTIFACT": lambda a: artifact_name(a),
        "ROLE": lambda a: a.role,
        "STAGE": lambda a: a.stage,
        "SIZE": lambda a: a.record.bytes,
        "FILES": lambda a: a.record.files,
    }

    def __init__(self, command: str, named: str) -> None:
        super().__init__(command)
        self._wanted_run = named
        self._run: RunView | None = None
        self._artifacts: list[ArtifactView] = []
        self._inside: Source | None = None  # the folder whose files are listed
        self._files: ListRows[Member] = ListRows(subject=lambda m: {"name": m.name}, fields=frozenset(("name",)))
        self._due = False

    def make_rows(self) -> ListRows[ArtifactView]:
        return ListRows(subject=subject, fields=FIELDS)

    def items(self) -> Iterable[ArtifactView]:
        return self._artifacts

    def columns(self) -> Sequence[Column[ArtifactView]]:
        return artifact_columns()

    def identify(self, item: ArtifactView) -> str:
        return artifact_name(item) if item.role != "input" else f"{artifact_name(item)} (input)"

    def body(self) -> Iterable[Widget]:
        with Container(id="artifacts"):
            with ContentSwitcher(initial="table", id="shelf"):
                yield from super().body()
                yield ResourceTable[Member](file_columns, lambda m: m.name, id="files", empty="the folder is empty")
            yield SamplePanel(id="beside")

    def on_mount(self) -> None:
        self.load()

    @property
    def files(self) -> ResourceTable[Member]:
        """The list of a folder's files."""
        return self.query_one("#files", ResourceTable)

    @property
    def panel(self) -> SamplePanel:
        """The preview."""
        return self.query_one("#beside", SamplePanel)

    def place(self) -> list[tuple[str, str]]:
        run = self._run
        if run is None:
            return [(f" artifacts of {visible(self._wanted_run)} …", "faint")]
        named = [(f" {visible(run.pipeline)} ", "strong"), (symbol(run.state), str(run.state))]
        inside = [(f"  {visible(self._inside.title)}/", "strong")] if self._inside is not None else []
        return [*named, *super().place(), *inside, (f"  › {short(run.id)} · v{run.version}", "faint")]

    # what it knows

    @work(group="artifacts", exclusive=True)
    async def load(self) -> None:
        """Ask for the run and its artifacts."""
        self._due = False
        named = self._run.id if self._run is not None else self._wanted_run
        try:
            run = await self.host.link.ask(lambda c: c.find_run(named))
            found = await self.host.link.ask(lambda c: c.artifacts(run.id))
        except Failure as failure:
            if failure.exit_code != 3:
                self.host.say(failure)
            if self._run is None:
                self.table.empty = visible(failure.message)
                self.table.refresh()
            return
        self._run, self._artifacts = run, found
        self.command = f"artifacts {run.id}"
        going = "nothing yet" if run.ended is None else "nothing"
        self.table.empty = f"this run has read and written {going}"
        self._narrow()
        self._look()

    def hear(self, events: Sequence[EventView]) -> None:
        run = self._run
        if run is None or self._due:
            return
        if any(e.kind == "relist" or e.id == run.id or e.id.startswith(run.id + "/") for e in events):
            self._due = True
            self.set_timer(_PATIENCE, self.load)

    # the preview

    @property
    def source(self) -> Source | None:
        """What the cursor is at."""
        if self._run is None:
            return None
        if self._inside is not None:
            member = self.files.current
            return self._inside._replace(path=member.name, bytes=member.bytes) if member is not None else None
        artifact = self.table.current
        return Source(self._run.id, artifact) if artifact is not None else None

    def on_resource_table_moved(self) -> None:
        self._look()

    def _look(self) -> None:
        self.panel.look(self.source)

    # keys

    def said(self, kind: Kind, text: str) -> None:
        """Narrow the list that is seen."""
        if self._inside is None:
            super().said("filter", text)
        else:
            try:
                self._files.narrow(text)
            except InvalidRequest as error:
                self.notify(f"{error.message}\n→ {error.hint}", severity="error", markup=False)
                self._files.narrow("")
                text = ""
            self.files.show(self._files)
            self.chips([text] if text else [])
        self.command = f"artifacts {self._run.id if self._run is not None else self._wanted_run}"

    def focus_body(self) -> None:
        (self.table if self._inside is None else self.files).focus()

    def action_back(self) -> None:
        """Out of the folder; or as everywhere."""
        if self._inside is None:
            super().action_back()
            return
        self._inside = None
        self._files.narrow("")
        self.query_one("#shelf", ContentSwitcher).current = "table"
        self.chips([self._filter] if self._filter else [])
        self.focus_body()
        self._look()
        self.show_heading()

    def action_open(self) -> None:
        """Into a folder; or the preview on the whole screen."""
        source = self.source
        sample = self.panel.sample(source) if source is not None else None
        if source is None or sample is None or not source.folder:
            self.action_view()
            return
        self._inside = source
        self._files.put(sample.members)
        self.files.show(self._files, keep=False)
        self.query_one("#shelf", ContentSwitcher).current = "files"
        self.chips([])
        self.files.focus()
        self._look()
        self.show_heading()

    def action_view(self) -> None:
        """The preview on the whole screen."""
        if (source := self.source) is not None:
            self.panel.open(source)

    def action_other(self) -> None:
        """Between the list and the preview."""
        if self.panel.body.has_focus:
            self.focus_body()
        else:
            self.panel.body.focus()

    def action_copy(self) -> None:
        """Put the content's hash on the clipboard."""
        if (source := self.source) is not None:
            self.app.copy_to_clipboard(source.artifact.record.sha256)
            whose = artifact_name(source.artifact)
            self.notify(f"copied the SHA-256 of {visible(whose)}", markup=False)

    def action_json(self) -> None:
        """The artifact as the API shows it."""
        if (source := self.source) is not None:
            text = msgspec.json.format(msgspec.json.encode(source.artifact), indent=2).decode()
            self.app.push_screen(LinesPage(artifact_name(source.artifact), document_lines(text)))

    def action_run(self) -> None:
        """The run whose artifacts these are."""
        if self._run is not None:
            self.host.go(f"run {self._run.id}")

    @work(group="act")
    async def action_save(self) -> None:
        """Put it on the disk of this machine."""
        source = self.source
        if source is None:
            return
        title = f"download {size(source.length)} to"
        said = await self.app.push_screen_wait(Line(title, source.title.rpartition("/")[2]))
        if not said or not said.strip():
            return
        try:
            target = await self.host.link.ask(lambda c: save(c, source, said.strip()))
        except Failure as failure:
            self.host.say(failure)
        else:
            self.notify(f"{visible(source.title)} → {visible(str(target))}", markup=False)


def file_columns() -> list[Column[Member]]:
    """Files of a folder."""
    return [
        Column("FILE", lambda m: m.name, flexible=True),
        Column("SIZE", lambda m: size(m.bytes), right=True),
        Column("LINK", lambda m: m.target, rank=1, flexible=True),
    ]


def subject(artifact: ArtifactView) -> dict[str, object]:
    """What the filter language can ask about an artifact."""
    record = artifact.record
    return {
        "name": artifact_name(artifact),
        "role": artifact.role,
        "stage": artifact.stage,
        "kind": record.kind,
        "sha256": record.sha256,
        "uri": record.uri,
    }
