"""`${…}` in environment values and artifact URIs, filled in for one run, stage and attempt.

Dates are those of the run's logical time, so that a re-run and a backfill of 3 March see 3 March.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct

from backend.errors import InvalidDocument

_PIECE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_EXPRESSION = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.-]*?)\s*((?:[+-]\s*\d+\s*[a-z]+\s*)*)(?::(.*))?", re.DOTALL)
_TERM = re.compile(r"([+-])\s*(\d+)\s*([a-z]+)")
_STEPS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOMENTS = ("date", "time")
RUN_NAMES = ("run.id", "run.attempt", "pipeline.name", "pipeline.version", "schedule.name", "stage.name")


class InterpolationError(InvalidDocument):
    """A `${…}` that cannot be filled in."""

    code = "bad-interpolation"


class Context(Struct, frozen=True):
    """What `${…}` stands for."""

    logical_time: datetime
    run_id: str = ""
    attempt: int = 1
    pipeline: str = ""
    version: int = 0
    schedule: str = ""
    parameters: dict[str, str] = {}
    stage: str = ""


class Reference(NamedTuple):
    """One `${…}`: what it names, what is added to a date, its format, and where in the text it begins."""

    name: str
    terms: tuple[tuple[str, int, str], ...]  # sign, number, unit
    form: str | None
    offset: int


def references(text: str) -> list[Reference]:
    """All `${…}` of a text. Raises InterpolationError for one that cannot be understood."""
    return [_parse(m) for m in _PIECE.finditer(text) if m.group(1) is not None]


def _parse(found: re.Match[str]) -> Reference:
    whole, inner = found.group(), found.group(1)
    if not whole.endswith("}"):
        raise InterpolationError(f"{whole} has no closing brace", hint="a plain ${ is written $${")
    parts = _EXPRESSION.fullmatch(inner)
    if parts is None:
        raise InterpolationError(
            f"I do not understand {whole}", hint="e.g. ${date}, ${date - 7d}, ${date:%Y%m%d}, ${parameters.region}"
        )
    terms = tuple((sign, int(number[:9]), unit) for sign, number, unit in _TERM.findall(parts[2] or ""))
    for _, number, unit in terms:
        if unit not in (*_STEPS, "mo", "y"):
            raise InterpolationError(f"{unit!r} in {whole} is no unit of time", hint="m, h, d, w, mo or y")
        if number > 100_000:
            raise InterpolationError(f"{number}{unit} in {whole} is too far away")
    if parts[1] not in MOMENTS and (terms or parts[3] is not None):
        raise InterpolationError(f"only date and time can be calculated with or formatted, not {parts[1]!r}")
    if parts[3] is not None and not parts[3].strip():
        raise InterpolationError(f"{whole} has an empty format", hint="e.g. ${date:%Y%m%d}")
    return Reference(parts[1], terms, parts[3], found.start())


def fill(text: str, context: Context, environment: Mapping[str, str]) -> str:
    """`text` with every `${…}` filled in; names that are no others' are looked up in `environment`."""

    def value(found: re.Match[str]) -> str:
        if found.group(1) is None:
            return "${"
        return _value(_parse(found), context, environment)

    return _PIECE.sub(value, text)


def resolve(environment: Mapping[str, str], context: Context) -> dict[str, str]:
    """Every variable's value. Raises InterpolationError for unknown names, bad dates and circles."""
    resolved: dict[str, str] = {}
    for name in _in_order(environment):
        try:
            resolved[name] = fill(environment[name], context, resolved)
        except InterpolationError as error:
            raise InterpolationError(f"environment.{name}: {error.message}", hint=error.hint) from None
    return {name: resolved[name] for name in environment}


def circle(environment: Mapping[str, str]) -> list[str] | None:
    """Variables that refer to one another in a circle, as a path; None if there are none."""
    needs: dict[str, list[str]] = {}
    for name, text in environment.items():
        try:
            needs[name] = [r.name for r in references(text) if r.name in environment]
        except InterpolationError:
            needs[name] = []
    done: set[str] = set()
    for root in environment:
        path, iterators = [root], [iter(needs[root])]
        while path:
            following = next(iterators[-1], None)
            if following is None:
                done.add(path.pop())
                iterators.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following not in done:
                path.append(following)
                iterators.append(iter(needs[following]))
    return None


def _in_order(environment: Mapping[str, str]) -> list[str]:
    if path := circle(environment):
        raise InterpolationError(f"these refer to one another in a circle: {' → '.join(path)}")
    order: dict[str, None] = {}
    stack = list(environment)[::-1]
    while stack:
        name = stack[-1]
        unmet = [r.name for r in references(environment[name]) if r.name in environment and r.name not in order]
        if name in order or not unmet:
            order[name] = None
            stack.pop()
        else:
            stack += unmet
    return list(order)


def _value(reference: Reference, context: Context, environment: Mapping[str, str]) -> str:
    name = reference.name
    if name in MOMENTS:
        return _moment(reference, context.logical_time)
    if name.startswith("parameters."):
        key = name.removeprefix("parameters.")
        if key not in context.parameters:
            raise InterpolationError(f"there is no parameter {key!r}")
        return context.parameters[key]
    known = {
        "run.id": context.run_id,
        "run.attempt": str(context.attempt),
        "pipeline.name": context.pipeline,
        "pipeline.version": str(context.version),
        "schedule.name": context.schedule,
        "stage.name": context.stage,
    }
    if name in known:
        return known[name]
    if name not in environment:
        raise InterpolationError(f"there is no variable {name!r}")
    return environment[name]


def _moment(reference: Reference, moment: datetime) -> str:
    try:
        for sign, number, unit in reference.terms:
            moment = _shift(moment, number if sign == "+" else -number, unit)
        if reference.form is not None:
            return moment.strftime(reference.form)
    except (OverflowError, ValueError) as error:
        raise InterpolationError(f"${{{reference.name}…}} does not come out as a date: {error}") from None
    return f"{moment.date():%Y-%m-%d}" if reference.name == "date" else moment.isoformat(timespec="seconds")


def _shift(moment: datetime, number: int, unit: str) -> datetime:
    """Minutes and hours pass on the clock of the world; days and longer on the calendar of the zone."""
    if unit in ("m", "h"):
        zone = moment.tzinfo
        utc = moment.timestamp() + timedelta(**{_STEPS[unit]: number}).total_seconds()
        return datetime.fromtimestamp(utc, zone)
    if unit in _STEPS:
        return moment + timedelta(**{_STEPS[unit]: number})
    months = moment.year * 12 + moment.month - 1 + number * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError("the year is out of range")
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)
