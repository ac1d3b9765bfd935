"""Which ticks of a schedule are due, and what becomes of those that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from backend.schedule.model import Schedule
from backend.schedule.times import between, next_after, parse_cron, zone_of

GRACE = timedelta(seconds=60)  # a tick so late is on time, whatever the policy
MOST = 1000  # missed ticks that are made up for at once
_MANY = 100_000  # looked at, at most


class Due(Struct, frozen=True):
    """What to do now, and when to look again."""

    ticks: tuple[datetime, ...]  # to run now, oldest first, in UTC
    last_tick: datetime | None  # the schedule's new value once they are made
    next: datetime | None  # None: never, as it stands
    done: bool = False
    message: str = ""  # what was left out


def due(schedule: Schedule, now: datetime) -> Due:
    """What of `schedule` is due at `now` (aware). Nothing at or before its `last_tick` ever is, wherever the clock."""
    if schedule.paused or schedule.done or schedule.kind == "after":
        return Due((), schedule.last_tick, None, schedule.done)
    if schedule.kind == "once":
        return _once(schedule, now)
    return _cron(schedule, now)


def _once(schedule: Schedule, now: datetime) -> Due:
    at = schedule.at
    if at is None:
        return Due((), schedule.last_tick, None, True, "it has no moment to fire at")
    at = at.astimezone(UTC)
    if schedule.last_tick is not None and at <= schedule.last_tick:
        return Due((), schedule.last_tick, None, True, "its moment passed while it was paused")
    if at > now:
        return Due((), schedule.last_tick, at)
    if schedule.catch_up == "none" and now - at > GRACE:
        return Due((), at, None, True, f"its moment {at.isoformat()} was missed, and it makes up for nothing")
    return Due((at,), at, None, True)


def _cron(schedule: Schedule, now: datetime) -> Due:
    zone = zone_of(schedule.zone)
    crons = [parse_cron(expression) for expression in schedule.cron]
    since = schedule.last_tick or schedule.created or now
    following = next_after(crons, zone, max(since, now))
    if schedule.catch_up == "all":
        ticks = between(crons, zone, since, now, MOST + 1)
        if len(ticks) > MOST:
            ticks = between(crons, zone, since, now, _MANY)
            left, ticks = len(ticks) - MOST, ticks[-MOST:]
            return Due(tuple(ticks), ticks[-1], following, message=f"{left} older missed ticks were left out")
        return Due(tuple(ticks), ticks[-1] if ticks else schedule.last_tick, following)
    ticks = between(crons, zone, max(since, now - GRACE), now)
    if not ticks and schedule.catch_up == "latest":
        ticks = _latest(schedule, now)
    elif not ticks and between(crons, zone, since, now, 1):
        return Due((), now, following, message="ticks were missed, and it makes up for none")
    if schedule.catch_up == "latest":
        ticks = ticks[-1:]
    return Due(tuple(ticks), ticks[-1] if ticks else schedule.last_tick, following)


def _latest(schedule: Schedule, now: datetime) -> list[datetime]:
    """The newest missed tick, looked for in ever longer stretches before `now`."""
    zone = zone_of(schedule.zone)
    crons = [parse_cron(expression) for expression in schedule.cron]
    since = schedule.last_tick or schedule.created or now
    stretch = timedelta(hours=1)
    while True:
        begin = max(since, now - stretch)
        if ticks := between(crons, zone, begin, now):
            return ticks[-1:]
        if begin == since:
            return []
        stretch *= 8
