"""Whether a schedule makes sense, asked before it is stored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from backend.errors import InvalidRequest
from backend.schedule.model import Schedule
from backend.schedule.times import next_after, parse_cron, zone_of
from backend.spec.model import Pipeline


def check(
    schedule: Schedule, others: Iterable[Schedule], *, now: datetime | None = None, pipeline: Pipeline | None = None
) -> None:
    """Raises InvalidRequest if `schedule` cannot work beside `others`.

    `now` (aware) is asked for where it is made: its moment must then lie ahead. With its pipeline, parameters too.
    """
    zone = zone_of(schedule.zone)
    given = {"cron": bool(schedule.cron), "once": schedule.at is not None, "after": bool(schedule.after)}
    if not given[schedule.kind] or sum(given.values()) != 1:
        field = {"cron": "cron", "once": "at", "after": "after"}[schedule.kind]
        raise InvalidRequest(
            f"schedule {schedule.name!r} is of kind {schedule.kind!r}", hint=f"it needs {field!r}, and only that"
        )
    if schedule.kind == "cron":
        for expression in schedule.cron:
            begin = now or schedule.created or datetime(2000, 1, 1, tzinfo=zone)
            if next_after([parse_cron(expression)], zone, begin) is None:
                raise InvalidRequest(f"{expression!r} never fires", hint="no day within five years matches it")
    elif schedule.kind == "once":
        _check_moment(schedule, now)
    else:
        _check_cycle(schedule, others)
    if pipeline is not None:
        _check_parameters(schedule, pipeline)


def _check_moment(schedule: Schedule, now: datetime | None) -> None:
    at = schedule.at
    assert at is not None
    if at.tzinfo is None:
        raise InvalidRequest(f"{at.isoformat()} has no time zone", hint="write 2026-11-23T06:00:00+01:00")
    if now is not None and at <= now:
        raise InvalidRequest(f"{at.isoformat()} is past", hint="to run it now: khantui run")


def _check_cycle(schedule: Schedule, others: Iterable[Schedule]) -> None:
    """Follow what starts what, from the schedule's pipeline, back to one that it waits for."""
    starts: dict[str, set[str]] = {}
    for other in others:
        if other.name != schedule.name and other.kind == "after":
            for cause in other.after:
                starts.setdefault(cause, set()).add(other.pipeline)
    paths = [[schedule.pipeline]]
    seen = {schedule.pipeline}
    while paths:
        path = paths.pop()
        if path[-1] in schedule.after:
            circle = " after ".join(reversed([*path, schedule.pipeline]))
            raise InvalidRequest(f"runs would start each other for ever: {circle}", hint="break the circle")
        for following in sorted(starts.get(path[-1], set()) - seen):
            seen.add(following)
            paths.append([*path, following])


def _check_parameters(schedule: Schedule, pipeline: Pipeline) -> None:
    for name, value in schedule.parameters.items():
        parameter = pipeline.parameters.get(name)
        if parameter is None:
            known = ", ".join(pipeline.parameters) or "none"
            raise InvalidRequest(f"{pipeline.name} has no parameter {name!r}", hint=f"its parameters: {known}")
        if parameter.choices and value not in parameter.choices:
            raise InvalidRequest(f"{value!r} is not a choice for {name}", hint=", ".join(parameter.choices))
    missing = [n for n, p in pipeline.parameters.items() if p.required and n not in schedule.parameters]
    if missing:
        raise InvalidRequest(f"{pipeline.name} needs a value for {', '.join(missing)}", hint="give it with -p")
