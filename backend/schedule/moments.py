"""The moments at which a schedule fires, of every kind that goes by the clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile

from backend.schedule.cron import parse_cron
from backend.schedule.dates import days_off
from backend.schedule.model import Schedule
from backend.schedule.times import following, plainly
from backend.zones import quiet, zone_of

_NEAR = timedelta(days=2)
_LONG = timedelta(days=35)
_NEVER = timedelta(days=366 * 5)  # where all are skipped for so long, none is looked for any more


def upcoming(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Its moments after `after` (aware), in UTC, strictly increasing; none for what follows other pipelines.

    Days that it skips are left out, and what lies before its start and behind its end.
    """
    zone, skips, skipped = zone_of(schedule.zone), bool(schedule.skip or schedule.calendars), days_off(schedule)
    begin = after.astimezone(UTC)
    if schedule.start is not None:
        begin = max(begin, schedule.start.astimezone(UTC) - timedelta(microseconds=1))
    newest = begin
    for moment in _moments(schedule, begin):
        if schedule.end is not None and moment > schedule.end:
            return
        if skips and moment - newest > _NEVER:
            return
        if skips and moment.astimezone(zone).date() in skipped:
            continue
        newest = moment
        yield moment


def since_last(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Its moments after `after`, counted on from its last tick: what is met near a change of the clocks depends on it.

    What lies so far back that it cannot matter is not counted from.
    """
    last = schedule.last_tick
    near = last is not None and last < after and after - last < _LONG and not steady(schedule, last, after)
    begin = last if last is not None and near else after
    return (moment for moment in upcoming(schedule, begin) if moment > after)


def until(schedule: Schedule, after: datetime, end: datetime, most: int) -> list[datetime]:
    """What `since_last` has before `end` (UTC, at most weeks away), the first `most`: faster, for many schedules."""
    if schedule.kind == "cron":
        last = schedule.last_tick
        since = min(last, after) if last is not None and after - last < _LONG else after
        zone = zone_of(schedule.zone)
        begin = max(after, schedule.start - timedelta(microseconds=1)) if schedule.start is not None else after
        found = plainly([parse_cron(e) for e in schedule.cron], zone, since, begin.astimezone(UTC), end)
        if found is not None:
            if schedule.end is not None:
                found = [moment for moment in found if moment <= schedule.end]
            if schedule.skip or schedule.calendars:
                skipped = days_off(schedule)
                found = [moment for moment in found if moment.astimezone(zone).date() not in skipped]
            return found[:most]
    return list(takewhile(lambda moment: moment < end, islice(since_last(schedule, after), most)))


def steady(schedule: Schedule, begin: datetime, end: datetime) -> bool:
    """Whether its moments from `begin` to `end` are the same from wherever they are counted: no clocks change near."""
    return schedule.kind != "cron" or quiet(
        zone_of(schedule.zone), begin.astimezone(UTC) - _LONG, end.astimezone(UTC) + _NEAR
    )


def between(schedule: Schedule, after: datetime, until: datetime, limit: int | None = None) -> list[datetime]:
    """Its moments after `after` up to and including `until` (aware), the first `limit`."""
    return up_to(schedule, after, until, limit)[0]


def up_to(
    schedule: Schedule, after: datetime, until: datetime, limit: int | None = None
) -> tuple[list[datetime], datetime | None]:
    """Its moments after `after` up to and including `until`, the first `limit`; and the first one behind `until`."""
    found: list[datetime] = []
    for moment in upcoming(schedule, after):
        if moment > until or (limit is not None and len(found) >= limit):
            return found, moment
        found.append(moment)
    return found, None


def next_moment(schedule: Schedule, after: datetime) -> datetime | None:
    """Its first moment after `after`; None if there is none."""
    return next(upcoming(schedule, after), None)


def may_fire(schedule: Schedule, minute: datetime) -> bool:
    """Whether its moments may lie in that minute: at once, where `between` takes its time."""
    if schedule.kind != "cron":
        return schedule.kind != "after"
    wall, near = _wall(schedule.zone, minute)
    crons = map(parse_cron, schedule.cron)
    return near or any(wall.minute in c.minutes and wall.hour in c.hours and c.on(wall) for c in crons)


@lru_cache(maxsize=1024)
def _wall(zone: str, minute: datetime) -> tuple[datetime, bool]:
    """What the clocks of a zone show, and whether they change nearby."""
    there = zone_of(zone)
    return minute.astimezone(there), not quiet(there, minute - _NEAR, minute + _NEAR)


def delay(schedule: Schedule, moment: datetime) -> timedelta:
    """How long after a moment its run starts: always the same for the same schedule and moment."""
    if not schedule.jitter:
        return timedelta()
    text = f"{schedule.name}:{int(moment.timestamp() * 1000)}"
    part = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
    return timedelta(milliseconds=int(part * schedule.jitter * 1000))


def _moments(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    if schedule.kind == "cron":
        crons = [parse_cron(expression) for expression in schedule.cron]
        yield from following(crons, zone_of(schedule.zone), after)
    elif schedule.kind == "every" and schedule.every > 0:
        yield from _every(schedule, after)
    elif schedule.kind == "once" and schedule.at is not None and schedule.at > after:
        yield schedule.at.astimezone(UTC)


def _every(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Whole spans of absolute time after the anchor, itself among them."""
    anchor = (schedule.start or schedule.created or after).astimezone(UTC).replace(microsecond=0)
    span = timedelta(seconds=schedule.every)
    number = max((after - anchor) // span + 1, 0)
    try:
        while True:
            yield anchor + number * span
            number += 1
    except OverflowError:  # the calendar has an end
        return
