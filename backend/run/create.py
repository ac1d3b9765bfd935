"""How a run comes to be: parameters checked, logical time fixed, nothing started yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time

from backend.errors import InvalidRequest
from backend.run.state import Run, Trigger
from backend.spec.graph import Plan
from backend.spec.model import Pipeline
from backend.zones import zone_of


def logical_time(text: str, zone: str, now: datetime) -> datetime:
    """The logical time that `text` (a date or date-time, ISO 8601) means in `zone`; empty means now."""
    tz = zone_of(zone)
    if not text:
        return now.astimezone(tz)
    try:
        if len(text) <= 10:
            return datetime.combine(date.fromisoformat(text), time(), tz)
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=tz) if moment.tzinfo is None else moment.astimezone(tz)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            f"{text!r} is no date that I understand", hint="write 2026-11-23 or 2026-11-23T06:00"
        ) from error


def check_parameters(pipeline: Pipeline, given: Mapping[str, str]) -> dict[str, str]:
    """The value of every parameter of the pipeline. Raises InvalidRequest for what it lacks or does not know."""
    for name, value in given.items():
        parameter = pipeline.parameters.get(name)
        if parameter is None:
            known = ", ".join(pipeline.parameters) or "none"
            raise InvalidRequest(f"{pipeline.name} has no parameter {name!r}", hint=f"its parameters: {known}")
        if parameter.choices and value not in parameter.choices:
            raise InvalidRequest(
                f"{value!r} is not a choice for {name}", hint=f"choices: {', '.join(parameter.choices)}"
            )
    missing = [n for n, p in pipeline.parameters.items() if p.required and n not in given]
    if missing:
        raise InvalidRequest(
            f"{pipeline.name} needs a value for {', '.join(missing)}", hint=f"give it: -p {missing[0]}=VALUE"
        )
    return {n: given.get(n, p.default or "") for n, p in pipeline.parameters.items()}


def new_run(
    pipeline: Pipeline,
    plan: Plan,
    *,
    identifier: str,
    version: int,
    moment: datetime,
    now: datetime,
    parameters: Mapping[str, str],
    trigger: Trigger,
    zone: str = "UTC",
    retry_from: str = "",
    due_by: datetime | None = None,
    fresh: bool = False,
) -> Run:
    """A run of `pipeline` at the logical time `moment`, queued. Raises InvalidRequest for bad parameters."""
    return Run(
        id=identifier,
        pipeline=pipeline.name,
        version=version,
        logical_time=moment,
        zone=zone,
        created=now,
        parameters=check_parameters(pipeline, parameters),
        trigger=trigger,
        stages=len(plan.instances),
        retry_from=retry_from,
        due_by=due_by,
        fresh=fresh,
    )
