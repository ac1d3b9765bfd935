"""Schedules as a crontab that starts the same runs, with comments for what a crontab cannot say. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backend.errors import KhanError
from backend.schedule.cron import Cron, kubernetes_form, parse_cron
from backend.spec.quantity import show_duration

if TYPE_CHECKING:
    from backend.api.wire import ScheduleView

_BOUNDS = ("0-59", "0-23", "1-31", "1-12", "0-6")
_LAST = (59, 23, 31, 12, 6)
_DAY = 24 * 60  # minutes


def crontab_lines(schedules: Sequence[ScheduleView], variables: dict[str, str], program: str = "khantui") -> list[str]:
    """The lines of a crontab for cronie or another cron that knows CRON_TZ. `variables` are for `program`."""
    lines = [
        "# Schedules of Khantui, for a cron that knows CRON_TZ (cronie). Each line starts a run of a pipeline.",
        "# cron moves what falls into an hour that does not exist; Khantui leaves it out.",
        "SHELL=/bin/sh",
        *(f"{name}={value}" for name, value in variables.items()),
    ]
    zone = ""
    for schedule in sorted(schedules, key=lambda s: (zone_for(s), s.name)):
        lines.append("")
        lines += [f"# {_one_line(text)}" for text in (f"{schedule.name}: {schedule.when}", *lost(schedule))]
        times = cron_times(schedule)
        if times and zone_for(schedule) != zone:
            zone = zone_for(schedule)
            lines.append(f"CRON_TZ={zone}")
        off = "#" if schedule.paused or schedule.done else ""
        lines += [f"{off}{time} {command(schedule, program)}" for time in times]
    return lines


def zone_for(schedule: ScheduleView) -> str:
    """The time zone in which its times are written."""
    return schedule.zone if schedule.kind == "cron" else "UTC"


def cron_times(schedule: ScheduleView) -> list[str]:
    """Its times as every cron reads them; none if no crontab can say them."""
    if schedule.kind == "every":
        return list(filter(None, [_every(schedule)]))
    if schedule.kind != "cron":
        return []
    found = []
    for expression in schedule.cron:
        try:
            form = kubernetes_form(cron := parse_cron(expression))
        except KhanError:
            return []
        if form is None:
            return []
        found.append(form if form.startswith("@") else _plain(form, cron))
    return found


def command(schedule: ScheduleView, program: str = "khantui") -> str:
    """What a line of a crontab runs, with its percent signs escaped."""
    return shlex.join([program, *arguments(schedule)]).replace("%", "\\%")


def arguments(schedule: ScheduleView) -> list[str]:
    """The arguments of `khantui` that start such a run."""
    words = ["run", schedule.pipeline]
    for name, value in schedule.parameters.items():
        words += ["-p", f"{name}={value}"]
    return words


def lost(schedule: ScheduleView) -> Iterator[str]:
    """Sentences about what neither cron nor a CronJob does as the schedule does."""
    if not cron_times(schedule):
        yield _without_times(schedule)
    if schedule.paused:
        yield f"paused{f': {schedule.paused_reason}' if schedule.paused_reason else ''}"
    if schedule.done:
        yield "it fires no more"
    for name in ("start", "end"):
        if (moment := getattr(schedule, name)) is not None and schedule.kind != "every":
            yield f"its {name} is not kept: {moment.isoformat()}"
    if schedule.skip:
        yield f"days that it skips are not kept: {', '.join(schedule.skip)}"
    if schedule.calendars:
        yield f"calendars are not kept: {', '.join(schedule.calendars)}"
    if schedule.jitter:
        yield f"its jitter is not kept: {show_duration(schedule.jitter)}"
    if schedule.deadline:
        yield f"its deadline is not kept: {schedule.deadline}"
    if schedule.catch_up == "all" or schedule.window:
        yield f"missed firings are not made up for (here: {schedule.catch_up})"
    if schedule.overlap:
        yield f"runs that overlap: {schedule.overlap} is not kept, what the pipeline says holds"


def _without_times(schedule: ScheduleView) -> str:
    if schedule.kind == "after":
        return "cron cannot start runs after others: no line"
    if schedule.kind == "once":
        at = schedule.at.astimezone(UTC) if schedule.at else None
        return f"cron has no such thing as once: no line{f'; at(1) has, at {at:%Y-%m-%d %H:%M} UTC' if at else ''}"
    if schedule.kind == "every":
        return f"cron cannot count {show_duration(schedule.every)} on over midnight: no line"
    return f"cron knows no seconds, or not such times: {' | '.join(schedule.cron)}: no line"


def _plain(form: str, cron: Cron) -> str:
    """An expression that cron reads as Kubernetes does.

    To cron a field that begins with a star is open, though it has a step; `5/10` is 5 alone; `?` is unknown.
    """
    fields = form.replace("?", "*").split()
    for index, text in enumerate(fields):
        parts = text.split(",")
        for at, part in enumerate(parts):
            base, slash, step = part.partition("/")
            if slash and base != "*" and "-" not in base:
                parts[at] = f"{base}-{_LAST[index]}/{step}"
            elif index in (2, 4) and not cron.both and base == "*":
                parts[at] = f"{_BOUNDS[index]}/{step or 1}"
        fields[index] = ",".join(parts)
    if cron.both:
        for index in (2, 4):  # cron looks for the star at a field's beginning only
            if any(part in ("*", "*/1") for part in fields[index].split(",")):
                fields[index] = "*"
    return " ".join(fields)


def _every(schedule: ScheduleView) -> str:
    """A span that divides an hour or a day, in UTC; empty for others."""
    minutes, rest = divmod(schedule.every, 60)
    anchor: datetime | None = schedule.start or schedule.created
    if rest or not minutes or _DAY % minutes or anchor is None:
        return ""
    anchor = anchor.astimezone(UTC)
    if minutes <= 60 and 60 % minutes == 0:
        first = anchor.minute % minutes
        return f"{_list(range(first, 60, minutes), 60)} * * * *"
    if minutes % 60:
        return ""
    return f"{anchor.minute} {_list(range(anchor.hour % (minutes // 60), 24, minutes // 60), 24)} * * *"


def _list(values: range, whole: int) -> str:
    return "*" if len(values) == whole else ",".join(map(str, values))


def _one_line(text: str) -> str:
    return " ".join(text.split())
