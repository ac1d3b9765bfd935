"""A schedule in full: how it is, what it was told, and what it will do. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from backend.spec.quantity import show_duration
from khantui.render.firings import Line, firing_lines, zone_of
from khantui.render.moments import ago, duration, stamp
from khantui.render.rows import schedule_when, short
from khantui.render.text import visible

if TYPE_CHECKING:
    from backend.api.wire import ForesightView, ScheduleView


def describe_schedule(schedule: ScheduleView, seen: ForesightView, now: datetime) -> list[Line]:
    """All that it was told, how it is, and its firings."""
    facts = [
        ("schedule", schedule.name),
        ("pipeline", schedule.pipeline),
        ("fires", schedule_when(schedule)),
        ("cron", "; ".join(schedule.cron)),
        ("time zone", schedule.zone),
        ("with", " ".join(f"{k}={v}" for k, v in schedule.parameters.items())),
        ("if missed", schedule.catch_up + (f", none older than {_span(schedule.window)}" if schedule.window else "")),
        ("if one runs", schedule.overlap or "as the pipeline says"),
        ("deadline", schedule.deadline),
        ("jitter", _span(schedule.jitter)),
        ("not before", _moment(schedule.start, schedule.zone)),
        ("nor after", _moment(schedule.end, schedule.zone)),
        ("not on", " ".join(schedule.skip)),
        ("nor days of", ", ".join(schedule.calendars)),
        ("made", f"{_moment(schedule.created, schedule.zone)} by {schedule.created_by}"),
        (
            "last run",
            f"{short(schedule.last_run)}, {schedule.last_state or 'gone'}" if schedule.last_run else "none yet",
        ),
        ("a run takes", f"{duration(seen.typical)} of late" if seen.typical is not None else ""),
    ]
    lines: list[Line] = [[(f"{label:<13} ", "faint"), (visible(value), "")] for label, value in facts if value]
    lines += schedule_lines(schedule, now)
    lines += [[("", "")], [("next firings", "strong")], *firing_lines(seen, now)]
    first = seen.firings[0] if seen.firings else None
    if first is not None and first.environment:
        at = f"the first would run with, at {stamp(first.logical_time)}" if first.logical_time else "it would run with"
        lines += [[("", "")], [(visible(at), "strong")]]
        lines += [[(f"    {visible(k)}  ", "faint"), (visible(v), "")] for k, v in first.environment.items()]
    return lines


def schedule_lines(schedule: ScheduleView, now: datetime) -> list[Line]:
    """What is to be known of a schedule beside its firings: its pause, its last run, what it waits for."""
    there = zone_of(schedule.zone)
    lines: list[Line] = []
    if schedule.paused:
        until = f" until {stamp(schedule.paused_until.astimezone(there))}" if schedule.paused_until else ""
        by = f" by {schedule.paused_by}" if schedule.paused_by else ""
        why = f": {schedule.paused_reason}" if schedule.paused_reason else ""
        lines.append([(visible(f"paused{by}{until}{why}"), "warning")])
    if schedule.late and schedule.due_by is not None:
        due = schedule.due_by.astimezone(there)
        lines.append([(f"its last run is late: it was to end by {due:%a %d %b %H:%M}", "failed")])
    elif schedule.due_by is not None and schedule.last_state in ("running", "queued"):
        due = schedule.due_by.astimezone(there)
        lines.append([(f"its last run is to end by {due:%a %d %b %H:%M} ({ago(schedule.due_by, now)})", "faint")])
    for key, causes in schedule.met.items():
        lines.append([(visible(f"{key}: {', '.join(causes)} {'has' if len(causes) == 1 else 'have'} ended"), "faint")])
    if schedule.message:
        lines.append([(visible(schedule.message), "warning")])
    return lines


def _span(seconds: int) -> str:
    return show_duration(seconds) if seconds else ""


def _moment(moment: datetime | None, zone: str) -> str:
    return stamp(moment.astimezone(zone_of(zone)).replace(microsecond=0)) if moment else ""
