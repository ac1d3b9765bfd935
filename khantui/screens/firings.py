"""The schedules of a pipeline, with the next firings of the one at the cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from backend.api.wire import ScheduleView
from khantui.errors import Failure
from khantui.render.firings import firing_lines
from khantui.render.live import live_schedule_columns
from khantui.render.schedules import schedule_lines
from khantui.render.table import Column
from khantui.render.text import visible
from khantui.screens import acts
from khantui.screens.host import Host
from khantui.screens.rights import Guarded
from khantui.state.rows import ListRows
from khantui.widgets.line_view import LineView
from khantui.widgets.resource_table import ResourceTable

_AHEAD = 20  # firings


class FiringsPanel(Guarded, Vertical):
    """The schedules that start a pipeline."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_schedule", "new"),
        Binding("e", "edit_schedule", "edit the schedule"),
        Binding("s", "pause", "pause/resume"),
        Binding("t", "run_now", "run now"),
        Binding("d", "describe_schedule", "describe", show=False),
        Binding("ctrl+d", "delete_schedule", "delete", show=False),
    ]

    def __init__(self, pipeline: str, *, id: str) -> None:
        super().__init__(id=id)
        self._pipeline = pipeline
        self._schedules: ListRows[ScheduleView] = ListRows()
        self._drawn: ScheduleView | None = None

    def compose(self) -> ComposeResult:
        empty = "nothing starts it by itself: n makes a schedule"
        yield ResourceTable[ScheduleView](self._columns, lambda s: s.name, id="schedule-table", empty=empty)
        with Vertical(id="ahead", classes="panel"):
            yield LineView(id="firings")

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    @property
    def table(self) -> ResourceTable[ScheduleView]:
        """The list."""
        return self.query_one("#schedule-table", ResourceTable)

    def _columns(self) -> Sequence[Column[ScheduleView]]:
        return [c for c in live_schedule_columns(self.host.moment, False) if c.title != "PIPELINE"]

    def load(self) -> None:
        """Show what the overview knows."""
        found = self.host.overview.schedules.values()
        self._schedules.put(sorted((s for s in found if s.pipeline == self._pipeline), key=lambda s: s.name))
        self.table.show(self._schedules)
        self.query_one("#ahead").display = self._schedules.count > 0
        self._look()

    def on_resource_table_moved(self) -> None:
        self._look()

    def _look(self) -> None:
        schedule = self.table.current
        if schedule != self._drawn:
            self._drawn = schedule
            title = f"next firings of {visible(schedule.name)}" if schedule is not None else "firings"
            self.query_one("#ahead").border_title = Content(title)
            if schedule is not None:
                self._foresee(schedule)

    @work(group="firings", exclusive=True)
    async def _foresee(self, schedule: ScheduleView) -> None:
        await asyncio.sleep(0.1)  # the cursor may go on
        try:
            found = await self.host.link.ask(lambda c: c.foresight(schedule.name, _AHEAD))
        except Failure:
            return
        if self._drawn == schedule:
            lines = [*schedule_lines(schedule, self.host.moment), *firing_lines(found, self.host.moment)]
            self.query_one("#firings", LineView).show(lines)

    def on_resource_table_opened(self, message: ResourceTable.Opened) -> None:
        message.stop()
        if isinstance(message.row, ScheduleView):
            self.host.go(f"runs schedule={message.row.name}")

    def action_new_schedule(self) -> None:
        """One more schedule for the pipeline."""
        acts.new_schedule(self.host, self._pipeline)

    def action_edit_schedule(self) -> None:
        """When it fires, and with what."""
        if (schedule := self.table.current) is not None:
            acts.edit_schedule(self.host, schedule.name)

    @work(group="act")
    async def action_pause(self) -> None:
        """Pause it, or have it go on."""
        await acts.pause_or_resume(self.host, self.table.chosen())

    @work(group="act")
    async def action_run_now(self) -> None:
        """Start a run as it would."""
        if (schedule := self.table.current) is not None:
            await acts.run_now(self.host, schedule)

    @work(group="act")
    async def action_describe_schedule(self) -> None:
        """All about it."""
        if (schedule := self.table.current) is not None:
            await acts.describe_schedule(self.host, schedule)

    @work(group="act")
    async def action_delete_schedule(self) -> None:
        """Delete it, after a question."""
        await acts.delete_schedules(self.host, self.table.chosen())
