"""When a cron expression fires: at every instant whose local wall clock, to the minute, matches it.

As Kubernetes' CronJob controller has it: a wall time that does not exist is skipped, one that exists twice fires
twice. Days are walked, never minutes, so that rare expressions are cheap.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
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
_NAMES = {
    3: {
        n: i
        for i, n in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
    },
    4: {n: i for i, n in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])},
}
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
    for index, text in enumerate(_fields(expression)):
        for part in text.split(","):
            if (problem := _part_problem(index, part)) is not None:
                problems.append(f"{_FIELDS[index]} {part!r}: {problem}")
    return problems


def next_after(crons: Sequence[Cron], zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The first instant after `moment` (aware) at which any of `crons` fires, in UTC; None: not within five years."""
    return min((found for cron in crons if (found := next(_instants(cron, zone, moment), None))), default=None)


def between(
    crons: Sequence[Cron], zone: ZoneInfo, after: datetime, until: datetime, limit: int | None = None
) -> list[datetime]:
    """Instants after `after` up to and including `until` (aware), in UTC, strictly increasing, the first `limit`."""
    found: list[datetime] = []
    moment = after
    while limit is None or len(found) < limit:
        following = next_after(crons, zone, moment)
        if following is None or following > until:
            break
        found.append(following)
        moment = following
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
    """What fires after `moment`, in order, as far as five years on."""
    start = moment.astimezone(zone).date()
    # One local day overlaps the next where a clock is turned back over midnight: begin a day early.
    day, last = start - _DAY, start.replace(year=start.year + YEARS, day=min(start.day, 28)) + 4 * _DAY
    while day <= last:
        if day.month not in cron.months:
            day = (day.replace(day=1) + 32 * _DAY).replace(day=1)
            continue
        if cron.on(day):
            ticks = _of_day(cron.minutes, cron.hours, zone, day)
            yield from ticks[bisect_right(ticks, moment) :]
        day += _DAY


@lru_cache(maxsize=2048)
def _of_day(minutes: tuple[int, ...], hours: tuple[int, ...], zone: ZoneInfo, day: date) -> tuple[datetime, ...]:
    """The instants of one local day, in UTC."""
    begin = datetime.combine(day, time(), zone)
    offset = begin.utcoffset() or timedelta()
    walls = [datetime.combine(day, time(hour, minute)) for hour in hours for minute in minutes]
    if (begin + _DAY).replace(fold=1).utcoffset() == offset:
        return tuple((wall - offset).replace(tzinfo=UTC) for wall in walls)
    found = set()
    for wall in walls:
        for fold in (0, 1):
            instant = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
            if instant.astimezone(zone).replace(tzinfo=None) == wall:  # else a wall time that was skipped
                found.add(instant)
    return tuple(sorted(found))
