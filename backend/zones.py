"""Time zones: when their clocks change, and what a wall time means on days on which they do."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backend.errors import InvalidRequest

_LOOK = timedelta(hours=6)  # no zone changes its clocks twice within so short a time
_SECOND = timedelta(seconds=1)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that IANA name. Raises InvalidRequest."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest(f"there is no time zone {name!r}", hint="e.g. Europe/Berlin or UTC") from error


def offset_at(zone: ZoneInfo, moment: datetime) -> timedelta:
    """How far the clocks of `zone` are ahead of UTC at `moment` (aware)."""
    return moment.astimezone(zone).utcoffset() or timedelta()


@lru_cache(maxsize=4096)
def changes(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """The instants of a year (of UTC) from which on the clocks of `zone` show another distance from UTC."""
    found: list[datetime] = []
    moment, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    offset = offset_at(zone, moment - _SECOND) if year > 1 else offset_at(zone, moment)
    low = moment - _SECOND if year > 1 else moment
    while low < end:
        high = min(low + _LOOK, end)
        if (new := offset_at(zone, high)) != offset:
            found.append(_first(zone, low, high, new))
            offset = new
        low = high
    return tuple(found)


def _first(zone: ZoneInfo, low: datetime, high: datetime, offset: timedelta) -> datetime:
    """The first whole second after `low` up to `high` with that offset."""
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if offset_at(zone, middle) == offset:
            high = middle
        else:
            low = middle
    return high


def changes_between(zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    """The changes of the clocks of `zone` from `begin` to `end` (UTC, both included), in order."""
    return [c for year in range(begin.year, end.year + 1) for c in changes(zone, year) if begin <= c <= end]


def quiet(zone: ZoneInfo, begin: datetime, end: datetime) -> bool:
    """Whether no clock of `zone` changes from `begin` to `end` (UTC)."""
    for year in range(begin.year, end.year + 1):
        found = changes(zone, year)
        index = bisect_left(found, begin)
        if index < len(found) and found[index] <= end:
            return False
    return True


@lru_cache(maxsize=4096)
def plain(zone: ZoneInfo, year: int) -> bool:
    """Whether the clocks of `zone` change by whole hours in that year, and never at or over a midnight."""
    for change in changes(zone, year):
        before, after = (moment.astimezone(zone).replace(tzinfo=None) for moment in (change - _SECOND, change))
        shift = after - before - _SECOND
        if shift % timedelta(hours=1) or before.date() != after.date() or after.time() == time():
            return False
    return True


def instants(zone: ZoneInfo, wall: datetime) -> tuple[datetime, ...]:
    """When the clocks of `zone` show `wall` (naive): once, twice or, where they leap over it, never. In UTC."""
    both = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return tuple(sorted(i for i in both if i.astimezone(zone).replace(tzinfo=None) == wall))
