"""The tables of docs/schedules.md, read."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from backend.schedule.model import Schedule
from backend.spec.quantity import duration

DOCUMENT = Path(__file__).parents[3] / "docs" / "schedules.md"


class ClockRow(NamedTuple):
    what: str
    schedule: Schedule
    begin: datetime
    times: list[str]  # local, with their offsets


def rows(mark: str) -> list[list[str]]:
    """The cells of the table behind `<!-- mark -->`, without its heading."""
    lines = DOCUMENT.read_text().split(f"<!-- {mark} -->\n")[1].splitlines()
    table = lines[: next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def clock_rows() -> list[ClockRow]:
    found = []
    for what, text, zone, begin, times in rows("clocks"):
        moment = datetime.fromisoformat(begin).replace(tzinfo=ZoneInfo(zone))
        found.append(ClockRow(what, _schedule(text.strip("`"), zone, moment), moment, times.split(", ")))
    return found


def _schedule(text: str, zone: str, begin: datetime) -> Schedule:
    kind, _, rest = text.partition(" ")
    if kind == "every":
        return Schedule("s", "p", "every", every=int(duration(rest)), zone=zone, created=begin)
    if kind == "at":
        at = datetime.fromisoformat(rest).replace(tzinfo=ZoneInfo(zone))
        return Schedule("s", "p", "once", at=at, zone=zone, created=begin)
    return Schedule("s", "p", "cron", cron=(text,), zone=zone, created=begin)


def clock(text: str, day: datetime) -> datetime:
    """`09:30:00`, or `-1 day 06:30:00`, on that day."""
    found = re.fullmatch(r"(?:(-?\d+) day )?(\d\d):(\d\d)(?::(\d\d))?", text)
    assert found, text
    return day + timedelta(
        days=int(found[1] or 0), hours=int(found[2]), minutes=int(found[3]), seconds=int(found[4] or 0)
    )
