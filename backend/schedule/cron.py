"""Cron expressions, read: which seconds, minutes, hours and days they allow.

Five fields (minute, hour, day of month, month, day of week) or six (with seconds at the end), names, lists, ranges and
steps; and what Kubernetes' CronJobs would say to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from functools import lru_cache

from msgspec import Struct

from backend.errors import InvalidRequest

_FIELDS = ("minute", "hour", "day of month", "month", "day of week", "second")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (0, 59))
_ALLOWED = ("0-59", "0-23", "1-31", "1-12 or JAN-DEC", "0-7 or SUN-SAT (0 and 7 are Sunday)", "0-59")
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
_PART = re.compile(r"(?:(?P<star>[*?])|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>\d{1,3}))?", re.ASCII)


class Cron(Struct, frozen=True):
    """A parsed expression; every field is the values it allows. Days of week: 0 is Sunday."""

    expression: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both: bool  # day of month and day of week must both match (one of them has a star); otherwise either
    seconds: tuple[int, ...] = (0,)

    def on_day(self, day: date) -> bool:
        """Whether the day of the month and of the week fit, whatever the month."""
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month and in_week) if self.both else (in_month or in_week)

    def on(self, day: date) -> bool:
        """Whether it may fire on that day."""
        return day.month in self.months and self.on_day(day)


@lru_cache(maxsize=16384)
def parse_cron(expression: str) -> Cron:
    """The expression, read. Raises InvalidRequest that says which field is wrong and what it may hold."""
    fields = _fields(expression)
    minutes, hours, days, months, weekdays, *seconds = (_values(expression, i, text) for i, text in enumerate(fields))
    return Cron(
        expression=expression,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(weekdays),
        both=_has_star(fields[2]) or _has_star(fields[4]),
        seconds=tuple(sorted(seconds[0])) if seconds else (0,),
    )


def kubernetes_problems(expression: str) -> list[str]:
    """What Kubernetes' CronJob would refuse in an expression that is accepted here; empty if nothing."""
    problems = []
    fields = _fields(expression)
    if len(fields) == 6:
        problems.append("it has a field for seconds, which CronJobs do not know")
    if expression.startswith("@") and expression != expression.lower():
        problems.append(f"CronJobs know it as {expression.lower()}")
    for index, text in enumerate(fields[:5]):
        found = ((part, _part_problem(index, part)) for part in text.split(","))
        problems += [f"{_FIELDS[index]} {part!r}: {problem}" for part, problem in found if problem]
    return problems


def kubernetes_form(cron: Cron) -> str | None:
    """The same schedule as a CronJob writes it; None for one that it cannot have (it fires at seconds)."""
    if cron.seconds != (0,):
        return None
    if not kubernetes_problems(cron.expression):
        return cron.expression
    values = (cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays)
    texts = [_listed(found, low, high) for found, (low, high) in zip(values, _BOUNDS, strict=False)]
    for index in (2, 4):  # a star in a field for days says more than that all of them fit
        if texts[index] == "*" and not cron.both:
            texts[index] = "{}-{}".format(*_BOUNDS[index])
    return " ".join(texts)


def _listed(values: Iterable[int], low: int, high: int) -> str:
    ordered = sorted(values)
    return "*" if ordered == list(range(low, high + 1)) else ",".join(map(str, ordered))


def _fields(expression: str) -> list[str]:
    text = expression.strip()
    if text.startswith("@"):
        if text.lower().startswith("@every"):
            raise InvalidRequest(f"{expression!r} is no cron expression", hint="give the span: --every 90m")
        if text.lower() not in _ALIASES:
            raise InvalidRequest(f"{expression!r} is no schedule that I know", hint=f"one of {', '.join(_ALIASES)}")
        text = _ALIASES[text.lower()]
    fields = text.split()
    if len(fields) not in (5, 6):
        raise InvalidRequest(
            f"{expression!r} has {len(fields)} fields instead of five",
            hint="minute, hour, day of month, month, day of week, e.g. '0 6 * * MON'; a sixth one is for seconds",
        )
    return fields


def _values(expression: str, index: int, text: str) -> set[int]:
    """The values of one field. Sunday may be 7; a range whose end is before its beginning goes round."""
    found: set[int] = set()
    for part in text.split(","):
        values = _part(index, part)
        if not values:
            raise InvalidRequest(
                f"{expression!r}: {text!r} is no {_FIELDS[index]}", hint=f"allowed: {_ALLOWED[index]}, e.g. 1,3-5,*/2"
            )
        found |= values
    return found


def _part(index: int, part: str) -> set[int]:
    """The values of an element of a list; none if it is not understood."""
    match = _PART.fullmatch(part)
    if match is None:
        return set()
    first, last = _BOUNDS[index]
    step = int(match["step"] or 1)
    low, high = (first, last) if match["star"] else (_number(index, match[name]) for name in ("low", "high"))
    if low is None or (match["high"] and high is None) or step < 1:
        return set()
    if high is None:
        high = last if match["step"] and low <= last else low
    top = 7 if index == 4 else last
    if not (first <= low <= top and first <= high <= top):
        return set()
    if low <= high:
        values = range(low, high + 1, step)
        return {value % 7 for value in values} if index == 4 else set(values)
    size = last - first + 1
    return {(value - first) % size + first for value in range(low, high + size + 1, step)}


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
    return int(text) if text.isdecimal() and len(text) < 4 else _NAMES.get(index, {}).get(text.lower())
