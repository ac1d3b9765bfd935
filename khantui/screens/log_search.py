"""What is found in the logs of all runs of a pipeline: the newest run first, as it is found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget

from backend.api.wire import LogHit, LogHits, LogLineView
from khantui.api.client import Client
from khantui.errors import Failure
from khantui.render.logline import clock
from khantui.render.moments import ago, size
from khantui.render.rows import short, state_cell
from khantui.render.table import Column
from khantui.render.text import plain, visible
from khantui.screens.host import title
from khantui.screens.view import View
from khantui.state.log_source import Wanted
from khantui.state.rows import ListRows
from khantui.widgets.line_view import Line, LineView
from khantui.widgets.prompt import Kind
from khantui.widgets.resource_table import ResourceTable

AT_ONCE = 100  # matches in one answer
ENOUGH = 500  # matches that are looked for unasked
CONTEXT = 5  # lines around each
MOST = 20_000  # matches that are held


class LogSearch(View):
    """The matches, and under them the lines around the one that the cursor is at."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "prompt('search')", "search for", priority=True),
        Binding("E", "errors", "errors"),
        Binding("c", "copy", "copy the line", show=False),
        Binding("w", "wide", "wide", show=False),
    ]

    def __init__(self, command: str, pipeline: str, expression: str = "") -> None:
        super().__init__(command)
        self._pipeline = pipeline
        self._wanted = Wanted(expression)
        self._rows: ListRows[LogHit] = ListRows()
        self._hits: list[LogHit] = []
        self._cursor: str | None = None
        self._searching = False
        self._runs = self._logs = self._bytes = 0
        self._reached = ""  # how old the runs are that were looked at last
        self._problem = ""
        self._damaged: set[str] = set()

    def body(self) -> Iterable[Widget]:
        with Vertical(id="search", classes="panel"):
            yield ResourceTable[LogHit](self._columns, _name, id="table", empty="")
        with Vertical(id="around", classes="panel"):
            yield LineView(id="lines")

    def on_mount(self) -> None:
        self.table.focus()
        self._begin()

    @property
    def table(self) -> ResourceTable[LogHit]:
        """The matches."""
        return self.query_one("#table", ResourceTable)

    def _columns(self) -> Sequence[Column[LogHit]]:
        now = self.host.moment
        return [
            Column("RUN", lambda h: short(h.run)),
            Column("STARTED", lambda h: ago(h.started, now), rank=2, right=True),
            Column("STATE", lambda h: state_cell(h.state), rank=3),
            Column("STAGE", lambda h: f"{h.stage}{f'#{h.attempt}' if h.attempt > 1 else ''}", rank=1),
            Column("LINE", lambda h: f"{h.line.number:,}", right=True, rank=1),
            Column("TEXT", self._excerpt, flexible=True),
        ]

    def _excerpt(self, hit: LogHit) -> str:
        """The line, from shortly before what was found where that would be out of sight."""
        text = plain(hit.line.text[:4000]).expandtabs(2).strip()
        found = _match(self._wanted.expression, text)
        room = max(20, self.size.width - 50)  # what the other columns leave
        if self.table.wide or found is None or found.end() <= room:
            return text
        return f"…{text[max(0, found.start() - room // 3) :]}"

    def place(self) -> list[tuple[str, str]]:
        found = f"  {len(self._hits):,} found"
        return [(f" {visible(self._pipeline)}", "strong"), (found, "warning" if self._hits else "faint")]

    def _progress(self) -> str:
        """What was looked through."""
        state = "searching…" if self._searching else "there is more" if self._cursor else "that is all"
        back = f", back to {self._reached}" if self._reached else ""
        damaged = f" · {len(self._damaged)} damaged" if self._damaged else ""
        return f"{self._runs:,} runs, {self._logs:,} logs, {size(self._bytes)}{back}{damaged} · {state}"

    # looking

    def _begin(self) -> None:
        self._hits, self._cursor = [], None
        self._runs = self._logs = self._bytes = 0
        self._reached = self._problem = ""
        self._damaged = set()
        self.command = f"search {self._pipeline} {self._wanted.expression}".strip()
        self._show()
        self.look(ENOUGH)

    @work(group="search", exclusive=True)
    async def look(self, enough: int) -> None:
        """Go on, until there are so many matches or there is nothing more to look through."""
        self._searching = True
        self.show_heading()
        try:
            while len(self._hits) < enough:
                self._take(await self.host.link.ask(self._more))
                if self._cursor is None:
                    break
        except Failure as failure:
            self._problem = failure.message
            self.host.say(failure)
        finally:
            self._searching = False
            if self.is_attached:
                self._show()

    def _more(self, client: Client) -> LogHits:
        query = self._wanted.query
        return client.search_pipeline(self._pipeline, limit=AT_ONCE, context=CONTEXT, cursor=self._cursor, **query)

    def _take(self, answer: LogHits) -> None:
        self._hits += answer.hits
        for said in answer.damaged:
            if said not in self._damaged:
                self._damaged.add(said)
                self.notify(visible(said), severity="warning", markup=False)
        self._cursor = answer.cursor
        self._runs, self._logs = self._runs + answer.runs, self._logs + answer.logs
        self._bytes += answer.bytes
        self._reached = ago(answer.at, self.host.moment) if answer.at is not None else ""
        self._show()

    def _show(self) -> None:
        self._rows.put(self._hits)
        wanted = self._wanted.expression
        nothing = f"no line with {visible(wanted)}" if wanted else "no line speaks of an error"
        self.table.empty = visible(self._problem) or ("searching…" if self._searching else nothing)
        self.table.show(self._rows)
        panel = self.query_one("#search")
        panel.border_title = title(wanted or "lines that speak of an error")
        panel.border_subtitle = title(self._progress())
        self._show_around()
        self.show_heading()

    def _show_around(self) -> None:
        around, lines = self.query_one("#around"), self.query_one("#lines", LineView)
        hit = self.table.current
        if hit is None:
            around.border_title = ""
            lines.show([])
            return
        log = f"{short(hit.run)} · {hit.stage} · attempt {hit.attempt}"
        around.border_title = title(f"{log} · line {hit.line.number:,}")
        pattern = self._wanted.expression
        shown = [_context(line, "faint", "") for line in hit.before]
        shown.append(_context(hit.line, "failed" if hit.line.error else "strong", pattern))
        lines.show([*shown, *(_context(line, "faint", "") for line in hit.after)])

    # keys

    def on_resource_table_moved(self) -> None:
        self._show_around()

    def on_resource_table_in_view(self, message: ResourceTable.InView) -> None:
        """Near the end of what was found, more is looked for."""
        if self._cursor and not self._searching and message.last > len(self._hits) - 50 and len(self._hits) < MOST:
            self.look(len(self._hits) + ENOUGH)

    def on_resource_table_opened(self, message: ResourceTable.Opened) -> None:
        """The log, at the line."""
        hit = self.table.current
        if hit is not None:
            self.host.go(f"log {hit.run} {hit.stage}#{hit.attempt}:{hit.line.number}")

    def prompted(self, kind: Kind) -> str:
        return self._wanted.expression if kind == "search" else ""

    def said(self, kind: Kind, text: str) -> None:
        self._wanted = Wanted(text)
        self._begin()

    def focus_body(self) -> None:
        self.table.focus()

    def action_errors(self) -> None:
        """Lines that speak of an error."""
        self.said("search", "")

    def action_refresh(self) -> None:
        """Look again."""
        self._begin()

    def action_wide(self) -> None:
        """All of the text, wider than the screen."""
        self.table.toggle_wide()

    def action_copy(self) -> None:
        """Put the line on the clipboard."""
        if (hit := self.table.current) is not None:
            self.app.copy_to_clipboard(hit.line.text)
            self.notify("the line is copied", markup=False)


def _name(hit: LogHit) -> str:
    return f"{hit.run}/{hit.stage}#{hit.attempt}:{hit.line.number}"


def _match(wanted: str, text: str) -> re.Match[str] | None:
    try:
        return re.search(wanted, text, re.IGNORECASE) if wanted else None
    except re.error:  # the daemon knows more expressions
        return None


def _context(line: LogLineView, role: str, wanted: str) -> Line:
    text = plain(line.text[:4000]).expandtabs(8)
    pieces: list[tuple[str, str]] = [(f"{line.number:>7,} ", "faint"), (f"{clock(line.time)}  ", "faint")]
    found = _match(wanted, text)
    if found is None:
        return [*pieces, (text, role)]
    begin, end = found.span()
    return [*pieces, (text[:begin], role), (text[begin:end], "warning"), (text[end:], role)]
