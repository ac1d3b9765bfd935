"""Who reads what of a pipeline, and what it takes of others: from the documents of all of them, read when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from khantui.errors import Failure
from khantui.render.table import Cell, Column
from khantui.render.text import visible
from khantui.screens.host import Host
from khantui.state import lineage
from khantui.state.lineage import Row, Tie
from khantui.state.rows import ListRows
from khantui.widgets.resource_table import ResourceTable

_TOGETHER = 32  # documents that are read before the list is drawn again


class TiesPanel(Vertical):
    """One row for each tie; enter leads to the other pipeline."""

    def __init__(self, pipeline: str, *, id: str) -> None:
        super().__init__(id=id, classes="panel")
        self._pipeline = pipeline
        self._documents: dict[tuple[str, int], dict[str, Any]] = {}  # of (pipeline, version)
        self._rows: ListRows[Row] = ListRows()

    def compose(self) -> ComposeResult:
        yield ResourceTable[Row](tie_columns, "\0".join, id="tie-table", empty="…")

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    @property
    def table(self) -> ResourceTable[Row]:
        """The list."""
        return self.query_one("#tie-table", ResourceTable)

    @work(group="ties", exclusive=True)
    async def load(self) -> None:
        """Read the documents that are not known yet."""
        while wanted := [key for key in self._wanted() if key not in self._documents][:_TOGETHER]:
            self._draw(done=False)
            await asyncio.gather(*(self._read(name, version) for name, version in wanted))
        self._draw(done=True)

    def _wanted(self) -> list[tuple[str, int]]:
        return [(p.name, p.version) for p in self.host.overview.pipelines.values()]

    async def _read(self, name: str, version: int) -> None:
        try:
            found = await self.host.link.ask(lambda c: c.version(name, version))
        except Failure:  # it may have gone meanwhile; what is not known has no ties
            self._documents[name, version] = {}
            return
        self._documents[name, version] = lineage.parse(found.document)

    def _ties(self) -> Iterable[Tie]:
        for name, version in self._wanted():
            yield from lineage.ties_of(name, self._documents.get((name, version), {}))
        for schedule in self.host.overview.schedules.values():
            for before in schedule.after:
                yield Tie("follows", schedule.pipeline, schedule.name, before, "")

    def _draw(self, *, done: bool) -> None:
        ties = list(self._ties())
        self._rows.put(lineage.rows_of(self._pipeline, ties))
        self.table.empty = "no other pipeline reads of it, and it reads of no other" if done else "…"
        self.table.show(self._rows)
        wanted = self._wanted()
        if not done:
            known = sum(key in self._documents for key in wanted)
            self.border_title = f"reading the documents: {known} of {len(wanted)}"
            return
        below = len(lineage.reach(self._pipeline, ties, "down"))
        above = len(lineage.reach(self._pipeline, ties, "up"))
        self.border_title = f"{_pipelines(below)} on it, directly or not · it depends on {above or 'none'}"
        own = next((d for (n, v), d in self._documents.items() if (n, v) in wanted and n == self._pipeline), {})
        left = lineage.unread(self._pipeline, own, ties)
        self.border_subtitle = Content(visible(f"read by no other pipeline: {', '.join(left[:5])}" if left else ""))

    def on_resource_table_opened(self, message: ResourceTable.Opened) -> None:
        message.stop()
        if isinstance(message.row, Row):
            self.host.go(f"pipeline {message.row.other}")


def _pipelines(count: int) -> str:
    return f"{count or 'no'} pipeline{'s' * (count != 1)} depend{'s' * (count == 1)}"


def tie_columns() -> list[Column[Row]]:
    """Ties, so that a row reads as a sentence."""
    return [
        Column("", lambda r: Cell("←" if r.way == "up" else "→", "info" if r.way == "up" else "succeeded")),
        Column("HERE", lambda r: r.mine or "a run", flexible=True),
        Column("", lambda r: Cell(r.words, "faint")),
        Column("PIPELINE", lambda r: r.other, flexible=True),
        Column("THERE", lambda r: r.theirs or "a run", rank=1, flexible=True),
    ]
