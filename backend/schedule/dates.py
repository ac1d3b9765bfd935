"""Days on which schedules stand still: their own, and those of calendars that several share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from backend.errors import InvalidRequest
from backend.schedule.model import Schedule
from backend.zones import zone_of

MOST = 1000  # entries of one schedule, or of one calendar
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_YEARLY = re.compile(r"\d\d-\d\d", re.ASCII)


class Calendar(Struct, frozen=True, omit_defaults=True):
    """Days that have a name, as they were written. Schedules that name it have a copy of them."""

    name: str
    days: tuple[str, ...]
    description: str = ""
    created: datetime | None = None
    created_by: str = ""
    updated: datetime | None = None
    updated_by: str = ""


class Dates(Struct, frozen=True):
    """A set of days: single ones, ranges and anniversaries."""

    days: frozenset[date]
    ranges: tuple[tuple[date, date], ...]
    yearly: frozenset[tuple[int, int]]  # month, day

    def __contains__(self, day: date) -> bool:
        return (
            day in self.days
            or (day.month, day.day) in self.yearly
            or any(first <= day <= last for first, last in self.ranges)
        )


@lru_cache(maxsize=1024)
def parse_dates(entries: tuple[str, ...]) -> Dates:
    """`2026-12-25`, `2026-12-24..2027-01-02` and `12-25` (every year). Raises InvalidRequest."""
    days: set[date] = set()
    ranges: list[tuple[date, date]] = []
    yearly: set[tuple[int, int]] = set()
    for entry in entries:
        first, dots, last = entry.partition("..")
        if dots:
            ranges.append((_date(first, entry), _date(last, entry)))
            if ranges[-1][0] > ranges[-1][1]:
                raise InvalidRequest(f"{entry!r} ends before it begins")
        elif _YEARLY.fullmatch(entry):
            leap = _date(f"2024-{entry}", entry)
            yearly.add((leap.month, leap.day))
        else:
            days.add(_date(entry, entry))
    return Dates(frozenset(days), tuple(ranges), frozenset(yearly))


def check_dates(entries: Sequence[str]) -> None:
    """Raises InvalidRequest if they cannot be kept."""
    if len(entries) > MOST:
        raise InvalidRequest(f"{len(entries)} days to skip are more than {MOST}", hint="write ranges: FROM..TO")
    parse_dates(tuple(entries))


def entries_off(schedule: Schedule) -> tuple[str, ...]:
    """Its own days and those of its calendars."""
    if not schedule.calendars:
        return schedule.skip
    return (*schedule.skip, *(day for days in schedule.calendars.values() for day in days))


def days_off(schedule: Schedule) -> Dates:
    """On which it stands still."""
    return parse_dates(entries_off(schedule))


def left_out(schedule: Schedule, moment: datetime) -> str:
    """Why it does not fire on the day of `moment` (aware); empty if it may."""
    day = moment.astimezone(zone_of(schedule.zone)).date()
    if day in parse_dates(schedule.skip):
        return f"{day} is one of the days that it skips"
    named = [name for name, days in schedule.calendars.items() if day in parse_dates(days)]
    return f"{day} is a day of the calendar {named[0]}" if named else ""


def renewed(schedule: Schedule, calendar: Calendar, pending: bool, now: datetime) -> Schedule:
    """The schedule with the calendar's days as they are now.

    What it would have fired in the past on days that were the calendar's does not fire now. `pending`: a tick of it is
    due at this moment, which must not be passed over.
    """
    if schedule.calendars.get(calendar.name) == calendar.days:
        return schedule
    keeps = pending or schedule.kind == "after"
    return replace(
        schedule,
        calendars={**schedule.calendars, calendar.name: calendar.days},
        last_tick=schedule.last_tick if keeps else now,
        done=False,
    )


def _date(text: str, entry: str) -> date:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(
            f"{entry!r} is no day that can be skipped",
            hint="write 2026-12-25, 2026-12-24..2027-01-02, or 12-25 for every year",
        ) from error
