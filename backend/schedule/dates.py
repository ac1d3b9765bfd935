"""Days on which schedules stand still."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from msgspec import Struct

from backend.errors import InvalidRequest

MOST = 1000  # entries of one schedule
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_YEARLY = re.compile(r"\d\d-\d\d", re.ASCII)


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
    if len(entries) > MOST:
        raise InvalidRequest(f"{len(entries)} days to skip are more than {MOST}", hint="write ranges: FROM..TO")
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
