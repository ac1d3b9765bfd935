"""When a cron expression fires: at every instant whose local wall clock matches it, as Kubernetes' CronJobs have it.

Where no clock changes nearby that is arithmetic on days, so that rare expressions are cheap; otherwise it is the walk
by which Kubernetes finds it. A wall time that does not exist is skipped, one that exists twice fires twice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice
from zoneinfo import ZoneInfo

from backend.schedule.cron import Cron
from backend.schedule.walk import YEARS, walk
from backend.zones import offset_at, plain, quiet

_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_QUARTER = timedelta(minutes=15)
_AROUND = timedelta(days=2)  # how near to a change of the clocks it is walked
_MONTH = timedelta(days=33)  # and where months are skipped, since that begins on the month's first day


def next_after(crons: Sequence[Cron], zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The first instant after `moment` (aware) at which any of `crons` fires, in UTC; None: not within five years."""
    return min((found for cron in crons if (found := _next(cron, zone, moment))), default=None)


def following(crons: Sequence[Cron], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """All instants after `after` (aware) at which any of `crons` fires, in UTC, strictly increasing."""
    if len(crons) == 1:
        yield from _chain(crons[0], zone, after)
        return
    newest = None
    for moment in merge(*(_chain(cron, zone, after) for cron in crons)):
        if moment != newest:
            newest = moment
            yield moment


def between(
    crons: Sequence[Cron], zone: ZoneInfo, after: datetime, until: datetime, limit: int | None = None
) -> list[datetime]:
    """Instants after `after` up to and including `until` (aware), in UTC, strictly increasing, the first `limit`."""
    found: list[datetime] = []
    for moment in following(crons, zone, after):
        if moment > until or (limit is not None and len(found) >= limit):
            break
        found.append(moment)
    return found


def plainly(
    crons: Sequence[Cron], zone: ZoneInfo, since: datetime, after: datetime, end: datetime
) -> list[datetime] | None:
    """The same after `after` and before `end`, counted on from `since` (UTC), by arithmetic alone.

    None where clocks change too near for that.
    """
    if not all(quiet(zone, since - _around(cron), end + _AROUND) for cron in crons):
        return None
    wall = after.astimezone(zone)
    midnight = after - timedelta(
        hours=wall.hour, minutes=wall.minute, seconds=wall.second, microseconds=wall.microsecond
    )
    day, found = wall.date(), []
    while midnight < end:
        for cron in crons:
            if cron.on(day):
                times = _times_of_day(cron.hours, cron.minutes, cron.seconds)
                found += [at for seconds in times if after < (at := midnight + timedelta(seconds=seconds)) < end]
        midnight += _DAY
        day += _DAY
    return found if len(crons) == 1 else sorted(set(found))


def _chain(cron: Cron, zone: ZoneInfo, moment: datetime) -> Iterator[datetime]:
    found = _next(cron, zone, moment)
    while found is not None:
        yield found
        last = found
        for last in _rest_of_day(cron, zone, found):
            yield last
        found = _next(cron, zone, last)


def _rest_of_day(cron: Cron, zone: ZoneInfo, moment: datetime) -> Iterator[datetime]:
    """Firings after one of them (UTC) on the same day of the zone, all at once: none where clocks change nearby."""
    if len(cron.hours) == len(cron.minutes) == len(cron.seconds) == 1 or not quiet(
        zone, moment - _around(cron), moment + _DAY + _AROUND
    ):
        return
    wall = moment.astimezone(zone)
    if not cron.on(wall.date()):  # the walk over a change of the clocks came here
        return
    now = wall.hour * 3600 + wall.minute * 60 + wall.second
    times = _times_of_day(cron.hours, cron.minutes, cron.seconds)
    for at in islice(times, bisect_right(times, now), None):
        yield moment + timedelta(seconds=at - now)


@lru_cache(maxsize=1024)
def _times_of_day(hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]) -> tuple[int, ...]:
    """In seconds from midnight, where no clock changes."""
    return tuple(h * 3600 + m * 60 + s for h in hours for m in minutes for s in seconds)


def _around(cron: Cron) -> timedelta:
    return _AROUND if len(cron.months) == 12 else _MONTH


def _next(cron: Cron, zone: ZoneInfo, moment: datetime) -> datetime | None:
    try:
        moment = moment.astimezone(UTC)
        wall = _regular(cron, (moment + offset_at(zone, moment)).replace(tzinfo=None))
        if wall is not None:
            found = wall.replace(tzinfo=zone).astimezone(UTC)
            if _undisturbed(cron, zone, moment, found):
                return found
        return _later(cron, zone, moment)
    except (OverflowError, ValueError):  # the calendar has an end
        return None


def _undisturbed(cron: Cron, zone: ZoneInfo, moment: datetime, found: datetime) -> bool:
    """Whether no change of the clocks is in the way from `moment` to `found`: near to one of them, or such that
    midnights in between, over which the walk goes, are not like others.
    """
    around = _around(cron)
    if quiet(zone, moment - around, found + _AROUND):
        return True
    return (
        quiet(zone, moment - _AROUND, moment + _AROUND)
        and quiet(zone, found - _AROUND, found + _AROUND)
        and all(plain(zone, year) for year in range((moment - around).year, found.year + 1))
    )


def _later(cron: Cron, zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The walk's answer, but always after `moment`: where clocks are put back over midnight it may turn round."""
    found, begin = walk(cron, zone, moment), moment
    while found is not None and found <= moment:
        begin += _QUARTER
        found = walk(cron, zone, begin)
    return found


def _regular(cron: Cron, wall: datetime) -> datetime | None:
    """The first wall time after `wall` that matches, where no clock changes."""
    begin = wall.replace(microsecond=0) + _SECOND
    day, last = begin.date(), date(begin.year + YEARS, 12, 31)
    if cron.on(day) and (clock := _clock(cron, begin.time())) is not None:
        return datetime.combine(day, clock)
    day += _DAY
    while day <= last:
        if day.month not in cron.months:
            day = (day.replace(day=1) + 32 * _DAY).replace(day=1)
        elif cron.on_day(day):
            return datetime.combine(day, time(cron.hours[0], cron.minutes[0], cron.seconds[0]))
        else:
            day += _DAY
    return None


def _clock(cron: Cron, begin: time) -> time | None:
    """The first time of day from `begin` on."""
    hours, minutes, seconds = cron.hours, cron.minutes, cron.seconds
    if begin.hour in hours:
        if begin.minute in minutes and begin.second <= seconds[-1]:
            return time(begin.hour, begin.minute, seconds[bisect_left(seconds, begin.second)])
        if begin.minute < minutes[-1]:
            return time(begin.hour, minutes[bisect_right(minutes, begin.minute)], seconds[0])
    if begin.hour < hours[-1]:
        return time(hours[bisect_right(hours, begin.hour)], minutes[0], seconds[0])
    return None
