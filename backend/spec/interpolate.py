"""`${…}` in environment values and artifact URIs, filled in for one run, stage and attempt.

Dates are those of the run's logical time, so that a re-run and a backfill of 3 March see 3 March.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct

from backend.errors import InvalidDocument

_PIECE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_EXPRESSION = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.-]*?)\s*((?:[+-]\s*\d+\s*[a-z]+\s*)*)(?::(.*))?", re.DOTALL)
_PARAMETER = re.compile(r"\s*(parameters\.[a-z][a-z0-9_-]*)\s*")  # its name may look like arithmetic: last-7d
_TERM = re.compile(r"([+-])\s*(\d+)\s*([a-z]+)")
_STEPS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOMENTS = ("date", "time")
LONGEST_EXPRESSION = 200  # characters
LONGEST_VALUE = 30_000  # characters; no system hands a program a variable of more than 128 KiB
LARGEST = 500_000  # characters, all variables together
RUN_NAMES = ("run.id", "run.attempt", "pipeline.name", "pipeline.version", "schedule.name", "stage.name")


class InterpolationError(InvalidDocument):
    """A `${…}` that cannot be filled in, in the environment's `variable` if it is one's."""

    code = "bad-interpolation"

    def __init__(self, message: str, *, hint: str = "", variable: str = "") -> None:
        super().__init__(message, hint=hint)
        self.variable = variable


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
        raise InterpolationError(f"{whole[:60]} has no closing brace", hint="a plain ${ is written $${")
    if len(whole) > LONGEST_EXPRESSION:
        raise InterpolationError(f"{whole[:60]}… is too long", hint="a plain ${ is written $${")
    if parameter := _PARAMETER.fullmatch(inner):
        return Reference(parameter[1], (), None, found.start())
    parts = _EXPRESSION.fullmatch(inner)
    if parts is None:
        raise InterpolationError(
            f"I do not understand {whole}", hint="e.g. ${date}, ${date - 7d}, ${date:%Y%m%d}, ${parameters.region}"
        )
    terms = tuple((sign, int(number), unit) for sign, number, unit in _TERM.findall(parts[2] or ""))
    for _, number, unit in terms:
        if unit not in (*_STEPS, "mo", "y"):
            raise InterpolationError(f"{unit!r} in {whole} is no unit of time", hint="m, h, d, w, mo or y")
        if number > 100_000:
            raise InterpolationError(f"{number}{unit} in {whole} is too far away", hint="100000 are the most")
    if parts[1] not in MOMENTS and (terms or parts[3] is not None):
        raise InterpolationError(
            f"only date and time can be calculated with or formatted, not {parts[1]!r}", hint="e.g. ${date - 7d:%Y%m%d}"
        )
    if parts[3] is not None and not parts[3].strip():
        raise InterpolationError(f"{whole} has an empty format", hint="e.g. ${date:%Y%m%d}")
    return Reference(parts[1], terms, parts[3], found.start())


def fill(text: str, context: Context, environment: Mapping[str, str]) -> str:
    """`text` with every `${…}` filled in; names that are no others' are looked up in `environment`.

    Raises InterpolationError for what cannot be filled in, and for what becomes longer than any program could be given.
    """
    pieces: list[str] = []
    room, at = LONGEST_VALUE, 0

    def add(piece: str) -> None:
        nonlocal room
        room -= len(piece)
        if room < 0:  # before it is put together: variables that repeat one another grow without end
            raise InterpolationError(f"longer than {LONGEST_VALUE:,} characters", hint="pass large data in a file")
        pieces.append(piece)

    for found in _PIECE.finditer(text):
        add(text[at : found.start()])
        add("${" if found.group(1) is None else _value(_parse(found), context, environment))
        at = found.end()
    add(text[at:])
    return "".join(pieces)


def resolve(environment: Mapping[str, str], context: Context) -> dict[str, str]:
    """Every variable's value. Raises InterpolationError for unknown names, bad dates, circles and what is too large."""
    order, path = _walk(environment)
    if path:
        raise InterpolationError(
            f"these refer to one another in a circle: {' → '.join(path)}", hint="one of them must be a plain value"
        )
    resolved: dict[str, str] = {}
    size = 0
    for name in order:
        try:
            resolved[name] = fill(environment[name], context, resolved)
        except InterpolationError as error:
            raise InterpolationError(f"environment.{name}: {error.message}", hint=error.hint, variable=name) from None
        size += len(resolved[name])
        if size > LARGEST:
            raise InterpolationError(
                f"the environment is larger than {LARGEST:,} characters", hint="pass large data in a file"
            )
    return {name: resolved[name] for name in environment}


def circle(environment: Mapping[str, str]) -> list[str] | None:
    """Variables that refer to one another in a circle, as a path; None if there are none."""
    return _walk(environment)[1]


def _walk(environment: Mapping[str, str]) -> tuple[list[str], list[str] | None]:
    """The variables, each after those it refers to, unless there is a circle, which is found instead."""
    done: dict[str, None] = {}
    for root in environment:
        underway = {} if root in done else {root: _referred(environment, root)}
        while underway:
            name = next(reversed(underway))
            following = next(underway[name], None)
            if following is None:
                done[name] = None
                del underway[name]
            elif following in underway:
                path = list(underway)
                return [], [*path[path.index(following) :], following]
            elif following not in done:
                underway[following] = _referred(environment, following)
    return list(done), None


def _referred(environment: Mapping[str, str], name: str) -> Iterator[str]:
    try:
        return iter([r.name for r in references(environment[name]) if r.name in environment])
    except InterpolationError:  # said when it is filled in
        return iter(())


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
    except (OverflowError, ValueError, OSError) as error:
        what = f"${{{reference.name}…}} does not come out as a date: {error}"
        raise InterpolationError(what, hint="years are from 1 to 9999") from None
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
