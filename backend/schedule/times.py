"""When a cron expression fires: at every instant whose local wall clock, to the minute, matches it.

As Kubernetes' CronJob controller has it: a wall time that does not exist is skipped, one that exists twice fires
twice. Days are walked, never minutes, so that rare expressions are cheap.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from heapq import merge
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter
from msgspec import Struct

from backend.errors import InvalidRequest

YEARS = 5  # no match within so many years counts as never
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_ALLOWED = ("0-59", "0-23", "1-31", "1-12 or JAN-DEC", "0-7 or SUN-SAT (0 and 7 are Sunday)")
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {3: {n: i for i, n in enumerate(_MONTHS, 1)}, 4: {n: i for i, n in enumerate(_WEEKDAYS)}}
_PART = re.compile(r"(?:(?P<star>[*?])|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>\d+))?")
_DAY = timedelta(days=1)


class Cron(Struct, frozen=True):
    """A parsed expression; every field is the values it allows. Days of week: 0 is Sunday."""

    expression: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both: bool  # day of month and day of week must both match (one of them has a star); otherwise either

    def on(self, day: date) -> bool:
        """Whether it may fire on that day."""
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month and in_week) if self.both else (in_month or in_week)


@lru_cache(maxsize=4096)
def parse_cron(expression: str) -> Cron:
    """The expression, read. Raises InvalidRequest that says which field is wrong and what it may hold."""
    fields = _fields(expression)
    values = [_values(expression, index, text) for index, text in enumerate(fields)]
    minutes, hours, days, months, weekdays = values
    return Cron(
        expression=expression,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(value % 7 for value in weekdays),
        both=_has_star(fields[2]) or _has_star(fields[4]),
    )


def kubernetes_problems(expression: str) -> list[str]:
    """What Kubernetes' CronJob would refuse in an expression that is accepted here; empty if nothing."""
    problems = []
    if len(expression.split()) == 6:
        problems.append("it has a field for seconds, which CronJobs do not know: leave it out")
    if expression.startswith("@") and expression != expression.lower():
        problems.append(f"CronJobs know it as {expression.lower()}")
    for index, text in enumerate(_fields(expression)):
        found = ((part, _part_problem(index, part)) for part in text.split(","))
        problems += [f"{_FIELDS[index]} {part!r}: {problem}" for part, problem in found if problem]
    return problems


def next_after(crons: Sequence[Cron], zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The first instant after `moment` (aware) at which any of `crons` fires, in UTC; None: not within five years."""
    return min((found for cron in crons if (found := next(_instants(cron, zone, moment), None))), default=None)


def between(
    crons: Sequence[Cron], zone: ZoneInfo, after: datetime, until: datetime, limit: int | None = None
) -> list[datetime]:
    """Instants after `after` up to and including `until` (aware), in UTC, strictly increasing, the first `limit`."""
    found: list[datetime] = []
    for moment in merge(*(_instants(cron, zone, after) for cron in crons)):
        if moment > until or (limit is not None and len(found) >= limit):
            break
        if not found or moment > found[-1]:
            found.append(moment)
    return found


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that IANA name. Raises InvalidRequest."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest(f"there is no time zone {name!r}", hint="e.g. Europe/Berlin or UTC") from error


def _fields(expression: str) -> list[str]:
    text = expression.strip()
    if text.startswith("@"):
        if text.lower() not in _ALIASES:
            raise InvalidRequest(f"{expression!r} is no schedule that I know", hint=f"one of {', '.join(_ALIASES)}")
        text = _ALIASES[text.lower()]
    fields = text.split()
    if len(fields) == 6:
        if fields[5] != "0":
            raise InvalidRequest(
                f"{expression!r} has a sixth field (seconds), which can only be 0", hint="ticks are whole minutes"
            )
        fields = fields[:5]
    if len(fields) != 5:
        raise InvalidRequest(
            f"{expression!r} has {len(fields)} fields instead of five",
            hint="minute, hour, day of month, month, day of week, e.g. '0 6 * * MON'",
        )
    return fields


def _values(expression: str, index: int, text: str) -> set[int]:
    """The values of one field: croniter reads it, standing alone among stars."""
    plain = "*" if text == "?" and index in (2, 4) else text
    alone = " ".join(plain if i == index else "*" for i in range(5))
    low, high = _BOUNDS[index]
    try:
        if re.search(r"[^\w*,/-]", plain) or re.search(r"(?i)\b(l|h|r)\b|\(", plain):
            raise ValueError("only values, names, lists, ranges and steps are understood")
        expanded, _ = croniter.expand(alone)
        found = expanded[index]
        values = set(range(low, high + 1)) if "*" in found else {int(value) for value in found}
    except (ValueError, KeyError) as error:
        raise InvalidRequest(
            f"{expression!r}: {text!r} is no {_FIELDS[index]}", hint=f"allowed: {_ALLOWED[index]}, e.g. 1,3-5,*/2"
        ) from error
    return values


def _has_star(text: str) -> bool:
    """Whether the field is open; `*/2` is not: it chooses days."""
    return any(part[0] in "*?" and part[1:] in ("", "/1") for part in text.split(",") if part)


def _part_problem(index: int, part: str) -> str | None:
    match = _PART.fullmatch(part)
    if match is None:
        return "not known to CronJobs"
    if match["star"]:
        return None
    low, high = (_number(index, match[name]) for name in ("low", "high"))
    if low is None or (match["high"] and high is None):
        return "not known to CronJobs"
    if max(low, high or 0) > _BOUNDS[index][1]:
        return "Sunday is 0 in CronJobs" if index == 4 else "out of range"
    if high is not None and low > high:
        return "a range that wraps round is refused: write it as two"
    return None


def _number(index: int, text: str | None) -> int | None:
    if text is None:
        return None
    return int(text) if text.isdecimal() else _NAMES.get(index, {}).get(text.lower())


def _instants(cron: Cron, zone: ZoneInfo, moment: datetime) -> Iterator[datetime]:
    """What fires after `moment`, in order, until five calendar years later."""
    moment = moment.astimezone(UTC)
    start = moment.astimezone(zone).date()
    # Where a clock is turned back over midnight, the day before goes on: begin with it.
    day, last = start - _DAY, date(start.year + YEARS, 12, 31)
    while day <= last:
        if day.month not in cron.months:
            day = (day.replace(day=1) + 32 * _DAY).replace(day=1)
            continue
        offset = _offset(zone, day)
        if offset is None:  # and its end may overlap the next
            both = {*_irregular(cron, zone, day), *_irregular(cron, zone, day + _DAY)}
            yield from sorted(tick for tick in both if tick > moment)
            day += _DAY
        elif cron.on(day):
            yield from _regular(cron, offset, day, moment)
        day += _DAY


@lru_cache(maxsize=8192)
def _offset(zone: ZoneInfo, day: date) -> timedelta | None:
    """The day's distance from UTC; None if the clocks change on it."""
    begin = datetime.combine(day, time(), zone)
    offset = begin.utcoffset() or timedelta()
    return offset if (begin + _DAY).replace(fold=1).utcoffset() == offset else None


def _regular(cron: Cron, offset: timedelta, day: date, moment: datetime) -> Iterator[datetime]:
    """What fires after `moment` on a day like most."""
    wall = moment.replace(tzinfo=None) + offset
    if wall.date() > day:
        return
    first = (wall.hour, wall.minute) if wall.date() == day else (-1, -1)
    for hour in cron.hours[bisect_left(cron.hours, first[0]) :]:
        low = bisect_right(cron.minutes, first[1]) if hour == first[0] else 0
        for minute in cron.minutes[low:]:
            yield (datetime(day.year, day.month, day.day, hour, minute) - offset).replace(tzinfo=UTC)


def _irregular(cron: Cron, zone: ZoneInfo, day: date) -> Iterator[datetime]:
    """What fires on a day on which the clocks change: wall times that exist not at all, once or twice."""
    if not cron.on(day):
        return
    for hour in cron.hours:
        for minute in cron.minutes:
            wall = datetime.combine(day, time(hour, minute))
            for fold in (0, 1):
                instant = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
                if instant.astimezone(zone).replace(tzinfo=None) == wall:
                    yield instant
