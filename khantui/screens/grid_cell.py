"""How the grid's runs, stages and cells are said to its view. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from khantui.render.describe import Pieces
from khantui.render.moments import span, stamp
from khantui.render.rows import short
from khantui.render.status import symbol
from khantui.render.text import visible
from khantui.state.grid import WORST, Grid, Row, RunColumn, heads, seconds
from khantui.widgets.grid_paint import RunHead, Stub


def run_heads(columns: Sequence[RunColumn], now: datetime) -> tuple[list[RunHead], str]:
    """What stands above the columns, and what their times have in common."""
    common, lines = heads([c.run.logical_time for c in columns])
    times = zip(*lines, strict=True)
    return [
        RunHead(c.run.id, str(c.run.state), seconds(c.run, now), time) for c, time in zip(columns, times, strict=True)
    ], common


def stub(row: Row) -> Stub:
    """What stands at the left of a row."""
    if row.members:
        return Stub(row.key, f"{row.name} ({len(row.members)})", "▸" if row.folded else "▾")
    return Stub(row.key, row.name, inside=row.inside)


def about(grid: Grid, row: Row, column: RunColumn, now: datetime) -> Pieces:
    """A cell in words: stage, run, state, attempts, duration, message; of a folded one how many are in which state."""
    head: Pieces = [
        (visible(row.name), "strong"),
        (f"  {short(column.run.id)} · {stamp(column.run.logical_time)}  ", "faint"),
    ]
    if row.members:
        counts = grid.states(row, column)
        found = [(f"{symbol(s)} {counts[s]} {s}  ", s) for s in WORST if counts[s]]
        return [*head, *(found or [("not in this run", "faint")])]
    mark = column.marks.get(row.name)
    if mark is None:
        return [*head, ("not in this run", "faint")]
    return [
        *head,
        (f"{symbol(mark.state)} {mark.state}", mark.state),
        (f"  attempt {mark.attempts}" if mark.attempts else "", ""),
        (f"  {span(mark.started, mark.ended, now)}" if mark.started else "", ""),
        (f"  {visible(mark.message)}" if mark.message else "", "failed" if mark.state == "failed" else ""),
    ]
