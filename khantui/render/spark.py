"""Numbers as small pictures: one line of them, or a few."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite

_BLOCKS = "▁▂▃▄▅▆▇█"
_STEADY = 0.25  # changes below this share of the largest value look small, as they are


def spark(values: Sequence[float | None]) -> str:
    """One character a value, from the lowest to the highest; a space where there is none.

    Values that are all the same are in the middle (nothing but zeros: at the bottom).
    """
    known = [abs(v) for v in values if v is not None and isfinite(v)]
    peak = max(known, default=0.0)
    if peak == 0:
        return "".join(" " if v is None or not isfinite(v) else _BLOCKS[0] for v in values)
    scaled = [v / peak if v is not None and isfinite(v) else None for v in values]
    low, high = min(v for v in scaled if v is not None), max(v for v in scaled if v is not None)
    reach = max(high - low, _STEADY)
    bottom = (low + high - reach) / 2
    return "".join(" " if v is None else _block((v - bottom) / reach * 8) for v in scaled)


def chart(values: Sequence[float | None], height: int, columns: int, top: float | None = None) -> list[str]:
    """Columns that stand on zero, in `height` lines of `columns` characters; a gap where there is no value.

    More values than columns are averaged. `top` is the value of a full column (1.0 for a rate); None: the largest.
    """
    if height <= 0 or columns <= 0:
        return [""] * max(0, height)
    finite = [v if v is not None and isfinite(v) else None for v in values]
    averaged = _averages(finite, columns) if len(finite) > columns else finite
    peak = max((v for v in averaged if v is not None), default=0.0) if top is None else top
    eighths = [None if v is None else _eighths(v, peak, height) for v in averaged]
    wide = columns // len(eighths) if eighths else 0
    gap = " " if wide > 2 else ""
    return [
        "".join(_part(e, row) * (wide - len(gap)) + gap for e in eighths).ljust(columns)
        for row in range(height - 1, -1, -1)
    ]


def _block(eighths: float) -> str:
    return _BLOCKS[max(0, min(7, ceil(eighths - 1e-9) - 1))]


def _eighths(value: float, peak: float, height: int) -> int:
    """How high, at least one eighth of a line: zero is seen, and is not the same as nothing."""
    if value <= 0 or peak <= 0:
        return 1
    return max(1, round(min(1.0, value / peak) * height * 8))


def _part(eighths: int | None, row: int) -> str:
    """What a column shows in a line, counted from below."""
    if eighths is None or eighths <= row * 8:
        return " "
    return _BLOCKS[min(7, eighths - row * 8 - 1)]


def _averages(values: Sequence[float | None], columns: int) -> list[float | None]:
    averages: list[float | None] = []
    for column in range(columns):
        part = values[column * len(values) // columns : (column + 1) * len(values) // columns]
        known = [v for v in part if v is not None]
        averages.append(sum(v / len(known) for v in known) if known else None)
    return averages
