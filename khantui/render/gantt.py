"""When each stage of a run waited and ran, as bars over one axis of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from khantui.render.moments import duration
from khantui.render.status import symbol
from khantui.render.text import crop, pad, visible, width

Piece = tuple[str, str]  # text, and the state whose colour it has
_WAITED, _RAN, _AGAIN = "▒", "█", "↻"
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))
_STEPS = (  # seconds from one tick to the next
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3600 * n for n in (1, 2, 3, 6, 12)),
    *(86400 * n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)


class Span(NamedTuple):
    """One attempt; without an end it still runs."""

    start: datetime
    end: datetime | None
    state: str


class Bar(NamedTuple):
    """One stage instance: when all it needed was there, its attempts in their order, and when it ended."""

    name: str
    label: str
    state: str
    ready: datetime | None
    spans: tuple[Span, ...]
    ended: datetime | None


def extent(bars: Iterable[Bar], now: datetime) -> tuple[datetime, datetime]:
    """The earliest and the latest time that the bars show; `now`, twice, if they show none."""
    whole = [times for bar in bars if (times := _times(bar, now))]
    if not whole:
        return now, now
    return min(start for start, _ in whole), max(end for _, end in whole)


def bar_columns(bars: Iterable[Bar], now: datetime, columns: int, label_columns: int) -> int:
    """How many of the `columns` the time axis has: what the labels and the durations leave."""
    longest = max((width(_took(bar, now)) for bar in bars), default=1)
    return max(0, columns - label_columns - longest - 2)


def gantt(bars: Sequence[Bar], now: datetime, columns: int, label_columns: int) -> list[list[Piece]]:
    """One line a bar, as (text, state) pieces in at most `columns` columns: label, bar, how long it took in all.

    `▒` is where it waited, `█` where it ran, in the colour of the attempt's state; `↻` is before each retry.
    """
    start, end = extent(bars, now)
    cells = bar_columns(bars, now, columns, label_columns)
    scale = _Scale(start, (end - start).total_seconds(), cells)
    return [_crop([*_label(bar, label_columns), *_bar(bar, now, scale)], columns) for bar in bars]


def axis(start: datetime, end: datetime, columns: int) -> str:
    """Round times since the start, each beginning where it is: `0s      1m      2m`; at most so many columns."""
    total = max(0.0, (end - start).total_seconds())
    line = "0s"
    for step in _STEPS if total else ():
        ticks = [(count * step / total, _tick(count * step)) for count in range(1, min(columns, int(total / step)) + 1)]
        if columns * step >= total * (2 + max((len(label) for _, label in ticks), default=0)):
            break
    else:
        ticks = []
    for part, label in ticks:
        at = int(part * columns)
        if at + len(label) <= columns:
            line = line.ljust(at) + label
    return line if len(line) <= columns else ""


def _tick(seconds: float) -> str:
    """`1h30m`: what is not nothing."""
    if seconds < 60:
        return f"{seconds:.3g}s"
    parts, rest = "", round(seconds)
    for size, unit in _UNITS:
        if rest >= size:
            parts += f"{rest // size}{unit}"
            rest %= size
    return parts + (f"{rest}s" if rest else "")


class _Scale(NamedTuple):
    start: datetime
    total: float  # seconds
    columns: int

    def cell(self, moment: datetime) -> int:
        seconds = (moment - self.start).total_seconds()
        return round(seconds / self.total * self.columns) if self.total > 0 else 0


def _times(bar: Bar, now: datetime) -> tuple[datetime, datetime] | None:
    """When a bar begins and ends, if it has begun. A clock that went back makes nothing negative."""
    starts = [*([bar.ready] if bar.ready else []), *(span.start for span in bar.spans)]
    if not starts:
        return None
    start = min(starts)
    ends = [span.end or bar.ended or now for span in bar.spans]
    return start, max(bar.ended or now, *starts, *ends)


def _took(bar: Bar, now: datetime) -> str:
    times = _times(bar, now)
    return duration((times[1] - times[0]) / timedelta(seconds=1)) if times else "–"


def _label(bar: Bar, columns: int) -> list[Piece]:
    mark = crop(f"{symbol(bar.state)} ", columns)
    text = pad(crop(visible(bar.label), columns - width(mark)), columns - width(mark))
    return [(mark, bar.state), (text + " ", "")]


def _bar(bar: Bar, now: datetime, scale: _Scale) -> list[Piece]:
    times = _times(bar, now)
    if times is None:
        return [("–", "")]
    first, last = scale.cell(times[0]), scale.cell(times[1])
    if bar.spans or last == first:  # each attempt has a cell, and each retry another for its mark
        first = max(0, min(first, scale.columns - max(1, 2 * len(bar.spans) - 1)))
    cells = _cells(bar, now, scale, first)
    if not bar.ended:
        cells += [(_WAITED, "waiting")] * (last - first - len(cells))
    if not cells:
        cells = [(_WAITED, "waiting")]
    pieces: list[Piece] = [(" " * first, "")] if first else []
    for mark, state in cells[: scale.columns - first]:
        if pieces and pieces[-1][1] == state:
            pieces[-1] = (pieces[-1][0] + mark, state)
        else:
            pieces.append((mark, state))
    return [*pieces, (" " + _took(bar, now), "")]


def _cells(bar: Bar, now: datetime, scale: _Scale, first: int) -> list[Piece]:
    """From the beginning of the bar to the end of its last attempt."""
    cells: list[Piece] = []
    for number, span in enumerate(bar.spans):
        retry = number > 0
        room = scale.columns - first - (2 * (len(bar.spans) - number) - (not retry))  # for what has to follow
        begin = min(scale.cell(span.start) - first - retry, room)
        cells += [(_WAITED, "waiting")] * (begin - len(cells))
        if retry:
            cells.append((_AGAIN, "retrying"))
        end = min(scale.cell(span.end or bar.ended or now) - first, room + 1 + retry)
        cells += [(_RAN, span.state)] * max(1, end - len(cells))
    return cells


def _crop(pieces: list[Piece], columns: int) -> list[Piece]:
    kept: list[Piece] = []
    for text, state in pieces:
        text = crop(text, columns)
        columns -= width(text)
        if text:
            kept.append((text, state))
    return kept
