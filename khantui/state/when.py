"""What people write about time, read: moments, spans and days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from khantui.errors import Misuse


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises Misuse."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Misuse(f"there is no time zone {name!r}", "e.g. Europe/Berlin or UTC") from None


def moment_of(text: str, zone: str, *, last: bool = False) -> datetime:
    """The moment that `text` means in `zone`; a day is its beginning or, with `last`, its end. Raises Misuse."""
    there = zone_of(zone)
    try:
        if len(text) <= 10:
            day = date.fromisoformat(text) + timedelta(days=last)
            begin = datetime.combine(day, time(), there)
            return (begin.astimezone(UTC) - timedelta(microseconds=1)).astimezone(there) if last else begin
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Misuse(f"{text!r} is no time that I understand", "write 2026-11-23T06:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=there)


def moment_or_span(text: str, zone: str, now: datetime) -> datetime | None:
    """The moment that `text` means in `zone`, or a span (2h) after `now`; None for nothing. Raises Misuse."""
    if not text:
        return None
    if text[:4].isdigit():
        return moment_of(text, zone)
    return now + timedelta(seconds=seconds_of(text, "until"))


def seconds_of(text: str, option: str) -> int:
    """Whole seconds of a span such as 90m; nothing is 0. Raises Misuse."""
    from backend.spec.quantity import duration

    if text in ("", "0"):
        return 0
    try:
        seconds = duration(text)
    except ValueError as error:
        raise Misuse(f"{option}: {error}") from None
    if seconds != int(seconds):
        raise Misuse(f"{option}: {text!r} is no whole number of seconds", "write a span such as 90s or 2h")
    return int(seconds)


def days_of(values: tuple[str, ...]) -> tuple[str, ...]:
    """Days to skip, as they were given: days, ranges, or @FILE with one a line (# begins a comment). Raises Misuse."""
    found: list[str] = []
    for value in values:
        if not value.startswith("@"):
            found += [value] if value else []
            continue
        try:
            text = Path(value[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misuse(f"cannot read the days to skip from {value[1:]}: {error}") from None
        found += days_in(text)
    return tuple(dict.fromkeys(found))


def days_in(text: str) -> list[str]:
    """Days as a file has them: one a line; # begins a comment, and what stands behind a day is one too."""
    return [words[0] for line in text.splitlines() if (words := line.partition("#")[0].split())]
