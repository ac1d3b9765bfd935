"""Schedules: what starts runs, when next, and whether somebody stopped it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from backend.api.wire import ScheduleView
from khantui.render.live import live_schedule_columns
from khantui.render.rows import schedule_note
from khantui.render.table import Column
from khantui.render.text import visible
from khantui.screens import acts
from khantui.screens.filling import BackfillForm
from khantui.screens.listing import Listing
from khantui.state.filling import Filling
from khantui.state.rows import ListRows

_NEVER = datetime.max.replace(tzinfo=UTC)
FIELDS = frozenset(("name", "pipeline", "kind", "zone", "paused", "state", "late"))


class Schedules(Listing[ScheduleView]):
    """All schedules, the next firing first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_schedule", "new"),
        Binding("e", "edit_schedule", "edit"),
        Binding("s", "pause", "pause/resume"),
        Binding("t", "run_now", "run now"),
        Binding("l", "last", "last run"),
        Binding("d", "describe_schedule", "describe"),
        Binding("b", "new_backfill", "backfill", show=False),
        Binding("ctrl+d", "delete_schedule", "delete", show=False),
        Binding("N", "sort('SCHEDULE')", "sort by name", show=False),
        Binding("A", "sort('NEXT')", "sort by next", show=False),
    ]
    TITLE_WORD = "Schedules"
    EMPTY = "there is no schedule yet: n makes one"
    FAULTS = "state=failed"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "SCHEDULE": lambda s: s.name,
        "PIPELINE": lambda s: s.pipeline,
        "NEXT": lambda s: s.next[0] if s.next else _NEVER,
    }

    def make_rows(self) -> ListRows[ScheduleView]:
        return ListRows(subject=subject, fields=FIELDS)

    def items(self) -> Iterable[ScheduleView]:
        def order(schedule: ScheduleView) -> tuple[datetime, str]:
            return (schedule.next[0] if schedule.next and not schedule.paused else _NEVER, schedule.name)

        return sorted(self.host.overview.schedules.values(), key=order)

    def columns(self) -> Sequence[Column[ScheduleView]]:
        noted = any(schedule_note(row) for row in self.rows.items)
        return live_schedule_columns(self.host.moment, self._absolute, noted)

    def identify(self, item: ScheduleView) -> str:
        return item.name

    def action_open(self) -> None:
        """The runs that it started."""
        if (schedule := self.table.current) is not None:
            self.host.go(f"runs schedule={schedule.name}")

    def action_last(self) -> None:
        """The last run that it started."""
        schedule = self.table.current
        if schedule is not None and schedule.last_run:
            self.host.go(f"run {schedule.last_run}")
        elif schedule is not None:
            self.notify(f"{visible(schedule.name)} has not started a run yet: t does", markup=False)

    def action_new_schedule(self) -> None:
        """A schedule for the pipeline of the one at the cursor, or for the one that the list is of."""
        at = self.table.current
        asked = (word.partition("pipeline=")[2] for word in self._filter.split() if word.startswith("pipeline="))
        acts.new_schedule(self.host, at.pipeline if at is not None else next(asked, ""))

    def action_edit_schedule(self) -> None:
        """When it fires, and with what."""
        if (schedule := self.table.current) is not None:
            acts.edit_schedule(self.host, schedule.name)

    @work(group="act")
    async def action_pause(self) -> None:
        """Pause what is marked, or have it go on."""
        if await acts.pause_or_resume(self.host, self.table.chosen()):
            self.table.clear_marks()

    @work(group="act")
    async def action_run_now(self) -> None:
        """Start a run as the schedule would."""
        if (schedule := self.table.current) is not None:
            await acts.run_now(self.host, schedule)

    @work(group="act")
    async def action_new_backfill(self) -> None:
        """Runs for firings of it that have passed."""
        if (schedule := self.table.current) is not None:
            filling = Filling(schedule.pipeline, step=schedule.name, parameters=schedule.parameters)
            if await self.host.push_screen_wait(BackfillForm(filling)):
                self.host.go("backfills")

    @work(group="act")
    async def action_describe_schedule(self) -> None:
        """All about it, with what comes."""
        if (schedule := self.table.current) is not None:
            await acts.describe_schedule(self.host, schedule)

    @work(group="act")
    async def action_delete_schedule(self) -> None:
        """Delete what is marked, after a question."""
        if await acts.delete_schedules(self.host, self.table.chosen()):
            self.table.clear_marks()


def subject(schedule: ScheduleView) -> dict[str, object]:
    """What the filter language can ask about a schedule."""
    return {
        "name": schedule.name,
        "pipeline": schedule.pipeline,
        "kind": schedule.kind,
        "zone": schedule.zone,
        "paused": "yes" if schedule.paused else "no",
        "state": schedule.last_state,
        "late": "yes" if schedule.late else "no",
    }
