"""The day that comes: what starts in each part of it, and what starts in the one at the cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

from backend.api.wire import ForecastView
from backend.schedule.forecast import Slot
from khantui.errors import Failure
from khantui.render.forecast import about, bar, text_of
from khantui.render.table import Cell, Column
from khantui.render.text import visible
from khantui.screens.view import View
from khantui.state.rows import ListRows
from khantui.widgets.prompt import Kind
from khantui.widgets.resource_table import ResourceTable

_BAR = 40  # columns
_SPANS = (24, 48, 168)  # hours


class Firing(NamedTuple):
    """A schedule that starts something in the slot at the cursor."""

    schedule: str
    times: int


class Forecast(View):
    """A row for each part of the time; below, the schedules that start something in the one at the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "other", "slots or schedules"),
        Binding("z", "span", "a day, two, a week"),
    ]

    def __init__(self, command: str, since: datetime | None = None) -> None:
        super().__init__(command)
        self._since = since
        self._hours = _SPANS[0]
        self._named = ""  # what the name of a schedule must contain
        self._found: ForecastView | None = None
        self._slots: ListRows[Slot] = ListRows()
        self._firings: ListRows[Firing] = ListRows()

    def body(self) -> Iterable[Widget]:
        with Vertical(id="forecast", classes="panel"):
            yield ResourceTable[Slot](self._columns, lambda s: s.begin.isoformat(), id="table", empty="…")
        yield Static("", id="crowd", markup=False)
        with Vertical(id="firings", classes="panel"):
            yield ResourceTable[Firing](self._firing_columns, lambda f: f.schedule, id="firing-table", empty="")

    def on_mount(self) -> None:
        self.table.focus()
        self.load()

    @property
    def table(self) -> ResourceTable[Slot]:
        """The slots."""
        return self.query_one("#table", ResourceTable)

    @property
    def firing_table(self) -> ResourceTable[Firing]:
        """What starts in the slot at the cursor."""
        return self.query_one("#firing-table", ResourceTable)

    @work(group="forecast", exclusive=True)
    async def load(self) -> None:
        """Ask for the forecast."""
        slot = 15 if self._hours == _SPANS[0] else 60
        try:
            self._found = await self.host.link.ask(lambda c: c.forecast(self._since, self._hours, slot))
        except Failure as failure:
            self.table.empty = visible(failure.message)
            self.table.refresh()
            return
        self._show()

    def _show(self) -> None:
        found = self._found.slots if self._found is not None else ()
        named = self._named
        self._slots.put([s for s in found if not named or any(named in name for name in s.schedules)])
        self.table.empty = "nothing of that name starts by a schedule" if named else ""
        self.table.show(self._slots)
        self.chips([named] if named else [])
        self._show_slot()
        self.show_heading()

    def _show_slot(self) -> None:
        slot = self.table.current
        self._firings.put([Firing(*each) for each in slot.schedules.items()] if slot is not None else [])
        self.firing_table.empty = "nothing starts in it"
        self.firing_table.show(self._firings)
        said = ""
        if slot is not None and self._found is not None:
            end = slot.begin.timestamp() + self._found.slot
            crowds = [c for c in self._found.busiest if slot.begin <= c.at and c.at.timestamp() < end]
            view = ForecastView(slot.begin, slot.begin, self._found.slot, (), tuple(crowds[:1]), 0, 0, 0)
            said = "\n".join(text_of(line, self.size.width - 1) for line in about(view, UTC))
        crowd = self.query_one("#crowd", Static)
        crowd.update(said)
        crowd.display = bool(said)

    def _columns(self) -> Sequence[Column[Slot]]:
        found = self._found
        most = max((slot.stages for slot in found.slots), default=0) if found is not None else 0
        places = found.places if found is not None else 0

        def drawn(slot: Slot) -> Cell:
            return Cell(bar(slot.stages, most, _BAR), "failed" if places and slot.stages > places else "running")

        return [
            Column("TIME (UTC)", lambda s: f"{s.begin.astimezone(UTC):%a %d %b %H:%M}"),
            Column("STARTS", lambda s: f"{s.starts:,}" if s.starts else "", right=True),
            Column("RUNS", lambda s: f"{s.runs:,}" if s.runs else "", right=True, rank=2),
            Column("STAGES", lambda s: f"{s.stages:,}" if s.stages else "", right=True, rank=1),
            Column("AT ONCE", drawn, flexible=True),
        ]

    def _firing_columns(self) -> Sequence[Column[Firing]]:
        known = self.host.overview.schedules
        return [
            Column("SCHEDULE", lambda f: f.schedule),
            Column("TIMES", lambda f: f"{f.times:,}", right=True),
            Column("PIPELINE", lambda f: known[f.schedule].pipeline if f.schedule in known else "", rank=2),
            Column("WHEN", lambda f: known[f.schedule].when if f.schedule in known else "", rank=1, flexible=True),
        ]

    def place(self) -> list[tuple[str, str]]:
        pieces = [(" Forecast", "strong")]
        if (found := self._found) is not None:
            if found.busiest:  # first: where the line is short, its end is cut
                at = found.busiest[0]
                pieces.append((f"  {at.starts} at {at.at.astimezone(UTC):%a %H:%M}", "warning"))
            many = f"{found.schedules:,} schedule{'s' * (found.schedules != 1)}"
            pieces.append((f"  {self._hours} h, {found.starts:,} starts of {many}", "faint"))
        return pieces

    def on_resource_table_moved(self, message: ResourceTable.Moved) -> None:
        message.stop()
        if self.focused is not self.firing_table:
            self._show_slot()

    def on_resource_table_opened(self, message: ResourceTable.Opened) -> None:
        message.stop()
        if isinstance(message.row, Firing):
            self.host.go(f"schedule {message.row.schedule}")
        elif self._firings.count:
            self.firing_table.focus()

    def focus_body(self) -> None:
        self.table.focus()

    def said(self, kind: Kind, text: str) -> None:
        self._named = text
        self._show()

    def action_other(self) -> None:
        """Between the slots and what starts in one."""
        (self.table if self.focused is self.firing_table else self.firing_table).focus()

    def action_span(self) -> None:
        """A day, two days, a week."""
        self._hours = _SPANS[(_SPANS.index(self._hours) + 1) % len(_SPANS)]
        self.load()

    def action_refresh(self) -> None:
        """Ask again."""
        self.load()
