"""Whether a schedule makes sense, asked before it is stored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from backend.errors import InvalidRequest
from backend.schedule.cron import parse_cron
from backend.schedule.dates import check_dates
from backend.schedule.deadline import deadline_of
from backend.schedule.model import Schedule
from backend.schedule.moments import next_moment
from backend.schedule.times import next_after
from backend.spec.model import Pipeline
from backend.zones import zone_of

SHORTEST = 10  # seconds between the firings of `every`
LONGEST = 366 * 86400  # seconds of any span of a schedule
_FIELDS = {"cron": "cron", "once": "at", "every": "every", "after": "after"}


def check(
    schedule: Schedule, others: Iterable[Schedule], *, now: datetime | None = None, pipeline: Pipeline | None = None
) -> None:
    """Raises InvalidRequest if `schedule` cannot work beside `others`.

    `now` (aware) is asked for where it is made: its moment must then lie ahead. With its pipeline, parameters too.
    """
    zone_of(schedule.zone)
    given = {kind: bool(getattr(schedule, field)) for kind, field in _FIELDS.items()}
    if not given[schedule.kind] or sum(given.values()) != 1:
        raise InvalidRequest(
            f"schedule {schedule.name!r} is of kind {schedule.kind!r}",
            hint=f"it needs {_FIELDS[schedule.kind]!r}, and only that",
        )
    _check_limits(schedule)
    if schedule.kind == "cron":
        _check_cron(schedule, now)
    elif schedule.kind == "once":
        _check_moment(schedule, now)
    elif schedule.kind == "every" and not SHORTEST <= schedule.every <= LONGEST:
        raise InvalidRequest(f"every {schedule.every} seconds is out of range", hint="from 10 seconds to a year")
    elif schedule.kind == "after":
        _check_cycle(schedule, others)
    if schedule.kind != "after" and now is not None and next_moment(schedule, now) is None:
        raise InvalidRequest("it would never fire", hint="look at its start, its end, and the days that it skips")
    if pipeline is not None:
        _check_parameters(schedule, pipeline)


def cause_of(reference: str) -> str:
    """The pipeline of what a schedule waits for: `pipeline`, or an output of it, `pipeline/output`."""
    return reference.partition("/")[0]


def _check_limits(schedule: Schedule) -> None:
    for name in ("window", "jitter"):
        if not 0 <= getattr(schedule, name) <= LONGEST:
            raise InvalidRequest(f"a {name} of {getattr(schedule, name)} seconds is out of range", hint="up to a year")
    for name in ("start", "end", "paused_until"):
        moment = getattr(schedule, name)
        if moment is not None and moment.tzinfo is None:
            raise InvalidRequest(f"its {name} has no time zone", hint="write 2026-11-23T06:00:00+01:00")
    if schedule.start and schedule.end and schedule.end < schedule.start:
        raise InvalidRequest("it ends before it starts", hint="exchange its start and its end")
    if schedule.kind != "after" and (schedule.condition != "succeeded" or schedule.join != "any"):
        raise InvalidRequest(
            "a condition on other runs is for schedules that follow pipelines", hint="use it with after"
        )
    check_dates(schedule.skip)
    deadline_of(schedule.deadline, schedule.zone, schedule.created or datetime(2026, 1, 1, tzinfo=zone_of("UTC")))


def _check_cron(schedule: Schedule, now: datetime | None) -> None:
    zone = zone_of(schedule.zone)
    begin = now or schedule.created or datetime(2000, 1, 1, tzinfo=zone)
    for expression in schedule.cron:
        if next_after([parse_cron(expression)], zone, begin) is None:
            raise InvalidRequest(f"{expression!r} never fires", hint="no day within five years matches it")


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
                starts.setdefault(cause_of(cause), set()).add(other.pipeline)
    causes = {cause_of(cause) for cause in schedule.after}
    paths = [[schedule.pipeline]]
    seen = {schedule.pipeline}
    while paths:
        path = paths.pop()
        if path[-1] in causes:
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
