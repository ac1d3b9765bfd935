"""By when a tick's run must have ended."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from backend.errors import InvalidRequest
from backend.spec.quantity import duration
from backend.zones import zone_of

_WALL = re.compile(r"(\d{1,2}):(\d\d)(?:\+(\d{1,3})d)?", re.ASCII)


def deadline_of(text: str, zone: str, tick: datetime) -> datetime | None:
    """The moment (UTC) that `text` means for `tick`; None for an empty text. Raises InvalidRequest.

    `07:00` is the first time after the tick that the clocks of `zone` show it, `07:00+1d` a day later; `2h` is a span
    of absolute time. A wall time that does not exist is as much later as the clocks were put forward.
    """
    if not text:
        return None
    if found := _WALL.fullmatch(text):
        hour, minute, days = int(found[1]), int(found[2]), int(found[3] or 0)
        if hour > 23 or minute > 59:
            raise InvalidRequest(f"{text!r} is no time of day", hint="from 00:00 to 23:59")
        local = tick.astimezone(zone_of(zone))
        for ahead in (0, 1):
            day = local.date() + timedelta(days=ahead)
            moment = datetime.combine(day, time(hour, minute), local.tzinfo).astimezone(UTC)
            if moment > tick:
                break
        return datetime.combine(day + timedelta(days=days), time(hour, minute), local.tzinfo).astimezone(UTC)
    try:
        span = duration(text)
    except ValueError as error:
        raise InvalidRequest(
            f"{text!r} is no deadline", hint="write a time of day (07:00, 07:00+1d) or a span after the tick (2h)"
        ) from error
    if span <= 0:
        raise InvalidRequest(f"{text!r} leaves no time for a run", hint="write a span such as 2h")
    return tick.astimezone(UTC) + timedelta(seconds=span)
