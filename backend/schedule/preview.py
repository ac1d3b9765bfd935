"""What a schedule will do, foretold from its next moments and from how long runs have taken."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

from msgspec import Struct

from backend.schedule.deadline import deadline_of
from backend.schedule.model import Overlap, Schedule
from backend.schedule.moments import delay, since_last
from backend.schedule.ticks import awake

Clash = Literal["", "beside", "waits", "skipped", "replaces"]


class Foreseen(Struct, frozen=True):
    """One firing: when its run starts and, as far as can be told, ends; and what it meets."""

    tick: datetime
    starts: datetime
    ends: datetime | None
    due_by: datetime | None
    late: bool  # it will not have ended by then
    clash: Clash  # with a run of the same schedule that is still active then


def foresee(
    schedule: Schedule, since: datetime, count: int, typical: timedelta | None, overlap: Overlap, busy: datetime | None
) -> list[Foreseen]:
    """The next `count` firings after `since`, if each run takes `typical` and an active one ends at `busy`.

    `overlap` is what becomes of a firing while the run before it is active; "" lets both run.
    """
    found: list[Foreseen] = []
    ends = busy
    for tick in islice(since_last(schedule, since), count):
        starts = tick + delay(schedule, tick)
        clash: Clash = ""
        if ends is not None and ends > starts:
            clash = {"": "beside", "queue": "waits", "skip": "skipped", "replace": "replaces"}[overlap]  # type: ignore[assignment]
        if clash == "waits" and ends is not None:
            starts = ends
        end = starts + typical if typical is not None and clash != "skipped" else None
        due_by = deadline_of(schedule.deadline, schedule.zone, tick)
        late = end is not None and due_by is not None and end > due_by
        found.append(Foreseen(tick, starts, end, due_by, late, clash))
        ends = end or ends
    return found


def opens(schedule: Schedule, now: datetime) -> datetime | None:
    """From when on a schedule fires: now, the end of its pause, or None while it is paused without end."""
    if schedule.done:
        return None
    if awake(schedule, now).paused:
        return schedule.paused_until
    return max(now, schedule.last_tick) if schedule.last_tick else now
