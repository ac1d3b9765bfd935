"""What follows the end of a run: which schedules it counts for, and when that makes one of them fire."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from backend.schedule.dates import days_off
from backend.schedule.model import Schedule
from backend.schedule.ticks import awake
from backend.zones import zone_of

MOST_MET = 100  # dates for which some, but not all, have ended: older ones are forgotten
_STATES = {"succeeded": ("succeeded",), "failed": ("failed",), "ended": ("succeeded", "failed", "cancelled")}


class Ended(Struct, frozen=True):
    """A run that has ended. `outputs` are hashes of what other pipelines read from now on, if that has become its."""

    pipeline: str
    state: str
    logical_time: datetime
    outputs: dict[str, str] = {}


class Followed(Struct, frozen=True):
    """What the end of a run makes of a schedule, and the logical time of the run that it starts, if it starts one."""

    schedule: Schedule
    moment: datetime | None = None


def concerns(schedule: Schedule, pipeline: str) -> bool:
    """Whether a schedule waits for something of that pipeline."""
    return schedule.kind == "after" and any(_split(reference)[0] == pipeline for reference in schedule.after)


def follow(schedule: Schedule, ended: Ended, now: datetime) -> Followed | None:
    """What `ended` means for a schedule; None if nothing.

    A run counts for what the schedule waits for if it ended as the schedule's condition says; for an output, if the
    output is not what was there when it counted last. Where all are needed, each counts once until all have.
    """
    schedule = awake(schedule, now)
    before, seen = schedule.seen, dict(schedule.seen)
    counted = [reference for reference in schedule.after if _counts(schedule, reference, ended, seen)]
    if not counted:
        return None
    schedule = replace(schedule, seen=seen)
    if schedule.paused or not _open(schedule, ended, now):
        return Followed(schedule) if seen != before else None
    if schedule.join == "any":
        return Followed(schedule, ended.logical_time)
    return _gathered(schedule, counted, ended)


def _counts(schedule: Schedule, reference: str, ended: Ended, seen: dict[str, str]) -> bool:
    pipeline, output = _split(reference)
    if pipeline != ended.pipeline:
        return False
    if not output:
        return ended.state in _STATES[schedule.condition]
    if ended.state != "succeeded" or seen.get(reference) == ended.outputs.get(output, seen.get(reference)):
        return False
    seen[reference] = ended.outputs[output]
    return True


def _open(schedule: Schedule, ended: Ended, now: datetime) -> bool:
    """Whether it may fire at `now` for that logical time: start, end and the days that it skips."""
    if (schedule.start and now < schedule.start) or (schedule.end and now > schedule.end):
        return False
    return ended.logical_time.astimezone(zone_of(schedule.zone)).date() not in days_off(schedule)


def _gathered(schedule: Schedule, counted: list[str], ended: Ended) -> Followed:
    key = _key(schedule, ended)
    together = {**schedule.met.get(key, {}), **dict.fromkeys(counted, ended.logical_time)}
    met = {k: v for k, v in schedule.met.items() if k != key}
    if set(together) >= set(schedule.after):
        return Followed(replace(schedule, met=met), max(together.values()))
    met[key] = together
    return Followed(replace(schedule, met=dict(sorted(met.items())[-MOST_MET:])))


def _key(schedule: Schedule, ended: Ended) -> str:
    """What runs that belong together have in common."""
    if schedule.match == "latest":
        return ""
    if schedule.match == "time":
        return ended.logical_time.astimezone(UTC).isoformat()
    return ended.logical_time.astimezone(zone_of(schedule.zone)).date().isoformat()


def _split(reference: str) -> tuple[str, str]:
    pipeline, _, output = reference.partition("/")
    return pipeline, output
