"""Runs: the home screen."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
from textual import work
from textual.binding import Binding, BindingType
from textual.widget import Widget

from backend.api.wire import EventView, RunView
from khantui.errors import Failure
from khantui.render.live import live_run_columns
from khantui.render.rows import short, started_by
from khantui.screens import acts
from khantui.screens.ask import Line
from khantui.screens.table_view import NOTHING_FITS, TableView
from khantui.screens.text import TextPage
from khantui.state.runs import Heard, Query, Request, RunRows, wrong
from khantui.widgets.prompt import Kind
from khantui.widgets.resource_table import ResourceTable

_SORTS = {"PIPELINE": "pipeline", "STATE": "state", "STARTED": "started", "LOGICAL TIME": "logical_time"}
_EMPTY = "nothing has run yet: t starts a pipeline (:pipelines)"
_AGAIN = 1.0  # seconds between two times that a list under conditions is asked for anew


class Runs(TableView[RunView]):
    """All runs, or those under conditions, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "log", "log"),
        Binding("r", "retry", "retry"),
        Binding("t", "trigger", "trigger"),
        Binding("ctrl+d", "cancel", "cancel"),
        Binding("w", "why", "why"),
        Binding("equals_sign", "against", "against the last good run", show=False),
        Binding("d", "describe", "describe", show=False),
        Binding("y", "json", "JSON", show=False),
        Binding("c", "copy", "copy the id", show=False),
        Binding("e", "edit", "edit", show=False),
        Binding("x", "open", "graph", show=False),
        Binding("s", "schedules", "schedules", show=False),
        Binding("ctrl+z", "faults", "failed only"),
        Binding("ctrl+w", "wide", "wide", show=False),
        Binding("ctrl+s", "save", "save", show=False),
        Binding("T", "times", "times", show=False),
        Binding("N", "sort('PIPELINE')", "sort by name", show=False),
        Binding("A", "sort('STARTED')", "sort by age", show=False),
        Binding("S", "sort('STATE')", "sort by state", show=False),
        Binding("L", "sort('LOGICAL TIME')", "sort by logical time", show=False),
    ]

    FAULTS = "state=failed"

    def __init__(self, command: str, filter: str = "") -> None:
        super().__init__(command, filter)
        self._sort = ""
        self._stale = False
        self._usual = False  # it is shown how long runs usually take
        self.rows = RunRows(Query())
        self._coming: RunRows | None = None  # asked for, not there yet

    def body(self) -> Iterable[Widget]:
        yield ResourceTable[RunView](
            lambda: live_run_columns(self.host.moment, self.host.overview.usual, self._absolute),
            lambda r: r.id,
            id="table",
            empty="…",
        )

    def on_mount(self) -> None:
        self.table.focus()
        self.list_anew()

    def place(self) -> list[tuple[str, str]]:
        count, table = self.rows.count, self.table
        many = f"{count:,}{'+' if self.rows.more else ''}" if self.rows.loaded else "…"
        pieces = [(" Runs", "strong"), (f"  {min(table.cursor + 1, count):,} of {many}", "faint")]
        if table.marked:
            pieces.append((f" · {len(table.marked)} marked", "warning"))
        return pieces

    # the list

    def list_anew(self) -> None:
        """Ask for the list from its beginning."""
        problem = wrong(self._filter) if self._filter else ""
        if problem:
            self.notify(problem, severity="error", markup=False)
            return
        rows = self._coming = RunRows(Query(self._filter, self._sort))
        self.chips([self._filter] if self._filter else [])
        self.table.sorted_by = self._sort_title()
        self.load(rows, rows.first())

    @work(group="list")
    async def load(self, rows: RunRows, request: Request) -> None:
        """Ask for a page."""
        try:
            page = await self.host.link.ask(lambda c: c.runs_page(**request.parameters))
        except Failure as failure:
            rows.failed(request)
            if failure.exit_code != 3:
                self.host.say(failure)
            return
        if rows.loaded:
            rows.take(request, page)
            self.table.changed()
        else:
            rows.begin(request, page, self.host.moment)
            self._show(rows)
        self.show_heading()

    def _show(self, rows: RunRows) -> None:
        """Another list; if it is the same one again, the cursor stays where it is."""
        same = rows.query == self.rows.query and self.rows.loaded
        at = self.table.current
        self.rows, self._coming = rows, None
        self.table.empty = NOTHING_FITS if rows.query.filter else _EMPTY
        self.table.show(rows, keep=same)
        if same and at is not None and (index := rows.index(at.id)) is not None:
            self.table.stay_at(index)

    def on_resource_table_in_view(self, message: ResourceTable.InView) -> None:
        for request in self.rows.wanted(message.first, message.last + 20):
            self.load(self.rows, request)

    def hear(self, events: Sequence[EventView]) -> None:
        if self._coming is not None:
            self._coming.hear(events, self.host.moment)
        heard = self.rows.hear(events, self.host.moment) if self.rows.loaded else Heard()
        if heard.stale and not self._stale:
            self._stale = True
            self.set_timer(_AGAIN, self._renew)
        if heard.changed or heard.above:
            self.table.changed(heard.above)
            self.show_heading()

    def overview_changed(self) -> None:
        if self.host.overview.loaded and not self._usual:
            self._usual = True
            self.table.changed()  # what is usual is known now, and needs room
        else:
            self.table.tick()  # it is something else; `hear` measures what else has changed
        super().overview_changed()

    def _renew(self) -> None:
        self._stale = False
        self.list_anew()

    # keys

    def said(self, kind: Kind, text: str) -> None:
        self._filter = text
        self.command = f"runs {text}".strip()
        self.list_anew()

    def action_refresh(self) -> None:
        """Ask for everything again."""
        self.list_anew()

    def action_sort(self, title: str) -> None:
        """Sort by that column; again for the other direction, and once more for the newest first."""
        field = _SORTS[title]
        steps = [f"-{field}", field, ""] if title in ("STARTED", "LOGICAL TIME") else [field, f"-{field}", ""]
        self._sort = steps[(steps.index(self._sort) + 1) % 3] if self._sort in steps[:2] else steps[0]
        self.list_anew()

    def _sort_title(self) -> str:
        field = self._sort.removeprefix("-")
        title = next((t for t, f in _SORTS.items() if f == field), "")
        return f"-{title}" if self._sort.startswith("-") else title

    def on_resource_table_sort_asked(self, message: ResourceTable.SortAsked) -> None:
        if message.title in _SORTS:
            self.action_sort(message.title)

    def chosen(self) -> list[RunView]:
        """The marked runs, or the one under the cursor."""
        wanted = set(self.table.chosen())
        return [r for r in self.rows.known() if r.id in wanted]

    def action_open(self) -> None:
        """Into the run."""
        if (run := self.table.current) is not None:
            self.host.go(f"run {run.id}")

    def action_log(self) -> None:
        """Into the run, at its log."""
        if (run := self.table.current) is not None:
            self.host.go(f"log {run.id}")

    @work(group="act")
    async def action_cancel(self) -> None:
        """Cancel what is marked."""
        await acts.cancel(self.host, self.chosen())

    @work(group="act")
    async def action_retry(self) -> None:
        """Retry what is marked."""
        await acts.retry(self.host, self.chosen())

    @work(group="act")
    async def action_trigger(self) -> None:
        """Start the pipeline of this run again."""
        if (run := self.table.current) is not None:
            await acts.trigger(self.host, run.pipeline)

    def action_copy(self) -> None:
        """Put the id on the clipboard."""
        if chosen := self.table.chosen():
            self.app.copy_to_clipboard("\n".join(chosen))
            self.notify(f"copied {', '.join(short(c) for c in chosen[:3])}", markup=False)

    def action_edit(self) -> None:
        """Edit the pipeline's document."""
        if (run := self.table.current) is not None:
            self.host.go(f"edit {run.pipeline}")

    def action_schedules(self) -> None:
        """What starts the pipeline."""
        if (run := self.table.current) is not None:
            self.host.go(f"schedules pipeline={run.pipeline}")

    @work(group="act")
    async def action_against(self) -> None:
        """What is different from the last good run."""
        if (run := self.table.current) is not None:
            await acts.compare_with_last_good(self.host, run)

    def action_why(self) -> None:
        """Why it waits, or failed."""
        if (run := self.table.current) is not None:
            self.host.go(f"why {run.id}")

    def action_describe(self) -> None:
        """All that is known of it."""
        if (run := self.table.current) is not None:
            self.host.go(f"describe {run.id}")

    @work(group="act")
    async def action_json(self) -> None:
        """As the API shows it."""
        if (run := self.table.current) is None:
            return
        whole = await self.host.ask(lambda c: c.run(run.id))
        if whole is not None:
            text = msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()
            self.app.push_screen(TextPage(f"{run.pipeline} {short(run.id)}", text, "json"))

    @work(group="act")
    async def action_save(self) -> None:
        """Write the rows that are known as CSV or JSON."""
        name = await self.app.push_screen_wait(Line("save these runs as", "runs.csv", "NAME.csv or NAME.json"))
        if not name:
            return
        chosen = self.chosen() if self.table.marked else list(self.rows.known())
        try:
            save(Path(name).expanduser(), chosen)
        except OSError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.notify(f"{len(chosen)} runs are in {name}", markup=False)


def save(path: Path, runs: Sequence[RunView]) -> None:
    """Write runs as CSV, or as JSON if the name ends so. Raises OSError."""
    if path.suffix == ".json":
        path.write_bytes(msgspec.json.format(msgspec.json.encode(list(runs)), indent=2) + b"\n")
        return
    fields = ["id", "pipeline", "version", "state", "logical_time", "created", "started", "ended", "message"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*fields, "by", "progress"])
        for run in runs:
            values = [getattr(run, f) for f in fields]
            shown = [v.isoformat() if hasattr(v, "isoformat") else v for v in values]
            writer.writerow([*shown, started_by(run), json.dumps(run.progress)])
