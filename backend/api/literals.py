"""Numbers and times, as clients write them: Python reads more than is meant, and breaks where they are enormous."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from backend.errors import InvalidRequest

_LONGEST = 18  # digits of a number that a store can hold


def number(text: str) -> int | None:
    """A whole number of plain digits; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST else None


def moment(text: str) -> datetime:
    """A time. Raises ValueError also for one so far off that no time zone and no span could be added to it."""
    found = datetime.fromisoformat(text)
    if not _near(found):
        raise ValueError(text)
    return found


def checked(body: Struct) -> None:
    """Raises InvalidRequest for such a time among a body's fields."""
    for name in body.__struct_fields__:
        value = getattr(body, name)
        if isinstance(value, datetime) and not _near(value):
            raise InvalidRequest(f"{name} is too far off: {value.isoformat()}", hint="a year from 1000 to 9000")


def _near(moment: datetime) -> bool:
    return 1000 <= moment.year <= 9000
