"""Durations and quantities as people write them: `1h30m`, `500m` of a core, `512Mi` of memory."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+", re.ASCII)
_TERM = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])", re.ASCII)
_CPU = re.compile(r"(\d+(?:\.\d+)?)(m?)", re.ASCII)
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]i?|k)?B?", re.ASCII)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
LONGEST = 36_525 * 86400.0  # seconds, a hundred years: the calendar has an end
MOST_CORES = 1_000_000.0
MOST_MEMORY = 1 << 60  # bytes


def duration(text: str) -> float:
    """Seconds of e.g. `10s`, `1h30m`, `2d`. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(
            f"{_short(text)} is no duration: write a number and ms, s, m, h, d or w, e.g. 90s, 20m or 1h30m"
        )
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _TERM.findall(text))
    if seconds > LONGEST:
        raise ValueError(f"{_short(text)} is longer than a hundred years: write less")
    return seconds


def cpu(text: str) -> float:
    """Cores of e.g. `2`, `0.5`, `500m`. Raises ValueError."""
    found = _CPU.fullmatch(text)
    if not found:
        raise ValueError(f"{_short(text)} is no amount of cpu: write cores (2, 0.5) or thousandths of one (500m)")
    cores = float(found[1]) / (1000 if found[2] else 1)
    if cores > MOST_CORES:
        raise ValueError(f"{_short(text)} is more cpu than there is: write cores (2, 0.5) or thousandths of one (500m)")
    return cores


def memory(text: str) -> int:
    """Bytes of e.g. `512Mi`, `2G`, `1000000`. Raises ValueError."""
    found = _MEMORY.fullmatch(text)
    if not found:
        raise ValueError(f"{_short(text)} is no amount of memory: write e.g. 512Mi or 2G")
    unit = found[2] or ""
    base = 1024 if unit.endswith("i") else 1000
    size = float(found[1]) * base ** _POWERS.get(unit[:1].upper(), 0)
    if size > MOST_MEMORY:
        raise ValueError(f"{_short(text)} is more memory than there is: write e.g. 512Mi or 2G")
    return int(size)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


def show_duration(seconds: float) -> str:
    """The shortest way to write a duration: `1h30m`."""
    if seconds < 1 or seconds != int(seconds):
        return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"
    parts, left = [], int(seconds)
    for unit in ("w", "d", "h", "m", "s"):
        number, left = divmod(left, int(_UNITS[unit]))
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def show_cpu(cores: float) -> str:
    """`500m` or `2`."""
    return f"{cores:g}" if cores == int(cores) else f"{cores * 1000:g}m"


def show_memory(size: int) -> str:
    """`512Mi`, or plain bytes where no unit fits."""
    for unit, power in (("Pi", 5), ("Ti", 4), ("Gi", 3), ("Mi", 2), ("Ki", 1)):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)
