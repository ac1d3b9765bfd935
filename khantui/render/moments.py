"""Times and durations for people."""

from __future__ import annotations

from datetime import datetime, timedelta

_STEPS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(seconds: float) -> str:
    """`3m 10s`: the two largest units that are not nothing; tenths below ten seconds."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for index, (size, unit) in enumerate(_STEPS):
        if whole >= size:
            rest = whole % size
            if unit == "s" or not rest:
                return f"{whole // size}{unit}"
            size_below, below = _STEPS[index + 1]
            return f"{whole // size}{unit} {rest // size_below:02d}{below}"
    return "0s"


def span(start: datetime | None, end: datetime | None, now: datetime) -> str:
    """How long something took, or has taken so far; `–` if it has not begun."""
    return duration(((end or now) - start).total_seconds()) if start else "–"


def ago(moment: datetime | None, now: datetime) -> str:
    """`12m ago`, `in 3h`, with one unit; `–` for never."""
    if moment is None:
        return "–"
    seconds = (now - moment).total_seconds()
    size, unit = next(((s, u) for s, u in _STEPS if abs(seconds) >= s), (1, "s"))
    count = int(abs(seconds) // size)
    if count == 0:
        return "now"
    return f"{count}{unit} ago" if seconds > 0 else f"in {count}{unit}"


def stamp(moment: datetime | None) -> str:
    """`2026-11-23 06:00`, in the moment's own zone; seconds where they are not nothing, no time at midnight."""
    if moment is None:
        return "–"
    if moment.time() == moment.min.time():
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment.second else f"{moment:%Y-%m-%d %H:%M}"


def size(count: int) -> str:
    """Bytes for people: `1.2 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def parse_span(text: str) -> timedelta:
    """What `90s`, `5m`, `2h` or `1d` means. Raises ValueError."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    if len(text) < 2 or text[-1] not in units:
        raise ValueError(text)
    return timedelta(**{units[text[-1]]: float(text[:-1])})
