"""Backfills: the runs of a pipeline for a range of logical times that have passed, as one thing.

Which times those are follows from the backfill alone, so that it is small however many runs it makes: of what was dealt
with it keeps the newest time, counts, and the few runs that have not ended.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.errors import InvalidRequest
from backend.schedule.cron import parse_cron
from backend.schedule.dates import entries_off, parse_dates
from backend.schedule.model import Schedule
from backend.schedule.moments import upcoming
from backend.zones import zone_of

Order = Literal["oldest", "newest"]
State = Literal["running", "paused", "cancelling", "cancelled", "succeeded", "failed"]
MOST = 10_000  # logical times of one backfill
MOST_AT_ONCE = 50  # runs of one backfill that are active at once
_DAY = 86400  # seconds


class Steps(Struct, frozen=True, omit_defaults=True):
    """Where in a range the logical times lie: the firings of cron expressions, or one every so many seconds.

    Whole days are days of the zone, however long its clocks make them; with an anchor they are absolute time from it.
    """

    cron: tuple[str, ...] = ()
    every: int = 0
    anchor: datetime | None = None  # None: the first is the range's start
    zone: str = "UTC"
    skip: tuple[str, ...] = ()  # days of the zone that are left out


class Backfill(Struct, frozen=True, omit_defaults=True):
    """One backfill. `cursor` is the last logical time that was dealt with, in its order."""

    id: str
    pipeline: str
    start: datetime
    end: datetime  # included
    steps: Steps
    step: str  # the steps in words
    schedule: str = ""  # whose firings they are
    parameters: dict[str, str] = {}
    parallel: int = 1
    order: Order = "oldest"
    rerun: bool = False  # also what is good already
    fresh: bool = False  # no earlier results stand for stages of its runs
    created: datetime | None = None
    created_by: str = ""

    state: State = "running"
    paused_by: str = ""
    message: str = ""  # what keeps it from going on
    total: int = 0  # logical times in all
    cursor: datetime | None = None
    active: tuple[str, ...] = ()  # runs that have not been seen to end
    skipped: int = 0  # times that were good already
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    ended: datetime | None = None

    @property
    def dealt(self) -> int:
        """How many logical times were dealt with: passed over, or given a run."""
        return self.skipped + self.succeeded + self.failed + self.cancelled + len(self.active)


def steps_of(schedule: Schedule) -> Steps:
    """The firings of a schedule, also before it began and after its end. Raises InvalidRequest."""
    if schedule.kind == "cron":
        return Steps(cron=schedule.cron, zone=schedule.zone, skip=entries_off(schedule))
    if schedule.kind != "every":
        raise InvalidRequest(
            f"schedule {schedule.name!r} does not fire again and again by the clock", hint="give a step such as 1d"
        )
    anchor = schedule.start or schedule.created
    return Steps(every=schedule.every, anchor=anchor, zone=schedule.zone, skip=entries_off(schedule))


def moments(steps: Steps, start: datetime, end: datetime) -> list[datetime]:
    """The logical times from `start` to `end` (aware, both included), in UTC, oldest first. Raises InvalidRequest."""
    zone_of(steps.zone)
    if steps.cron:
        schedule = Schedule("backfill", "backfill", "cron", cron=steps.cron, zone=steps.zone, skip=steps.skip)
        for expression in steps.cron:
            parse_cron(expression)
        found = upcoming(schedule, start - timedelta(microseconds=1))
    elif steps.every > 0:
        found = _kept(steps, _spaced(steps, start))
    else:
        raise InvalidRequest("a backfill needs a step", hint="1d, a cron expression, or the name of a schedule")
    times: list[datetime] = []
    for moment in islice(found, MOST + 1):
        if moment > end:
            return times
        times.append(moment)
    if len(times) > MOST:
        raise InvalidRequest(
            f"more than {MOST} logical times are too many for one backfill", hint="take a shorter range or longer steps"
        )
    return times


def left(backfill: Backfill, times: Sequence[datetime]) -> Sequence[datetime]:
    """Those of its `times` (oldest first) that were not dealt with, in its order."""
    if backfill.order == "oldest":
        return times[bisect_right(times, backfill.cursor) :] if backfill.cursor else times
    return (times[: bisect_left(times, backfill.cursor)] if backfill.cursor else times)[::-1]


def settled(backfill: Backfill, ends: Mapping[str, str]) -> Backfill:
    """With those of its active runs counted that have ended: run -> the state that it ended in."""
    ends = {run: ends[run] for run in backfill.active if run in ends}
    if not ends:
        return backfill
    how = list(ends.values())
    return replace(
        backfill,
        active=tuple(run for run in backfill.active if run not in ends),
        succeeded=backfill.succeeded + how.count("succeeded"),
        failed=backfill.failed + how.count("failed"),
        cancelled=backfill.cancelled + len(how) - how.count("succeeded") - how.count("failed"),
    )


def has_room(backfill: Backfill) -> bool:
    """Whether it may have one more run at present."""
    return backfill.state == "running" and len(backfill.active) < backfill.parallel


def pick(backfill: Backfill, ahead: Sequence[datetime], good: Collection[datetime]) -> tuple[Backfill, datetime | None]:
    """Pass over what is good already: the first time ahead that wants a run, if there is one, is not dealt with yet."""
    for passed, moment in enumerate(ahead):
        if moment not in good:
            return _passed(backfill, ahead[:passed]), moment
    return _passed(backfill, ahead), None


def made(backfill: Backfill, moment: datetime, run: str) -> Backfill:
    """With a run of that logical time."""
    return replace(backfill, cursor=moment, active=(*backfill.active, run), message="")


def closed(backfill: Backfill, more: bool, now: datetime) -> Backfill:
    """Ended, if nothing is active and nothing comes any more."""
    if backfill.active or backfill.ended is not None:
        return backfill
    if backfill.state == "cancelling":
        return replace(backfill, state="cancelled", ended=now)
    if more:
        return backfill
    good = not backfill.failed and not backfill.cancelled
    return replace(backfill, state="succeeded" if good else "failed", paused_by="", message="", ended=now)


def _passed(backfill: Backfill, times: Sequence[datetime]) -> Backfill:
    if not times:
        return backfill
    return replace(backfill, cursor=times[-1], skipped=backfill.skipped + len(times))


def _kept(steps: Steps, found: Iterator[datetime]) -> Iterator[datetime]:
    zone, skipped = zone_of(steps.zone), parse_dates(steps.skip)
    return (moment for moment in found if not steps.skip or moment.astimezone(zone).date() not in skipped)


def _spaced(steps: Steps, start: datetime) -> Iterator[datetime]:
    """Every so many seconds from `start` on, strictly increasing."""
    start = start.astimezone(UTC)
    try:
        if steps.anchor is None and steps.every % _DAY == 0:
            yield from _days(steps, start)
            return
        span, anchor = timedelta(seconds=steps.every), (steps.anchor or start).astimezone(UTC).replace(microsecond=0)
        number = -((anchor - start) // span)
        while True:
            yield anchor + number * span
            number += 1
    except OverflowError:  # the calendar has an end
        return


def _days(steps: Steps, start: datetime) -> Iterator[datetime]:
    """The same wall time every so many days; on a day that has no such time, as much later."""
    zone = zone_of(steps.zone)
    wall, newest = start.astimezone(zone).replace(tzinfo=None), None
    while True:
        moment = start if newest is None else wall.replace(tzinfo=zone).astimezone(UTC)
        if newest is None or moment > newest:  # a country may leave out a day
            newest = moment
            yield moment
        wall += timedelta(seconds=steps.every)
