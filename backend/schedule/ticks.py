"""Which ticks of a schedule are due, and what becomes of those that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.schedule.model import Schedule
from backend.schedule.times import Cron, between, next_after, parse_cron, zone_of

GRACE = timedelta(seconds=60)  # a tick so late is on time, whatever the policy
MOST = 1000  # missed ticks that are made up for at once


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
    if schedule.catch_up == "none":
        ticks = between(crons, zone, max(since, now - GRACE), now)
        newest = ticks or _newest(crons, zone, since, now, 1)
        missed = "" if ticks or not newest else f"missed {newest[-1].isoformat()} and makes up for nothing"
        return Due(tuple(ticks), newest[-1] if newest else schedule.last_tick, following, message=missed)
    ticks = _newest(crons, zone, since, now, 1 if schedule.catch_up == "latest" else MOST)
    if not ticks:
        return Due((), schedule.last_tick, following)
    oldest = between(crons, zone, since, now, 1)[0]
    message = ""
    if schedule.catch_up == "all" and oldest < ticks[0]:
        message = f"missed ticks from {oldest.isoformat()} to before {ticks[0].isoformat()} were left out"
    return Due(tuple(ticks), ticks[-1], following, message=message)


def _newest(crons: list[Cron], zone: ZoneInfo, since: datetime, now: datetime, count: int) -> list[datetime]:
    """The newest `count` ticks after `since` up to `now`, looked for in ever longer stretches before `now`."""
    stretch = timedelta(hours=1)
    while True:
        begin = max(since, now - stretch)
        ticks = between(crons, zone, begin, now)
        if begin == since or len(ticks) >= count:
            return ticks[-count:]
        stretch *= 4
