"""The parts of a grid's lines: what stands above a run, at the left of a line, and in the cells between. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from khantui.render.status import symbol
from khantui.render.text import crop, pad, visible, width
from khantui.widgets.paint import Palette

PITCH = 3  # columns of the terminal for a run: two and a gap
_LABEL = 34  # columns of a stage's name, at most
Pieces = list[tuple[str, Style]]


class RunHead(NamedTuple):
    """A run, above its column: how long it took in seconds (None: it has not begun), and its time in parts."""

    key: str
    state: str
    took: float | None
    time: tuple[str, ...]


class Stub(NamedTuple):
    """What stands at the left of a line. `fold` is ▸ or ▾ where the line stands for others."""

    key: str
    label: str
    fold: str = ""
    inside: bool = False


def label_columns(stubs: Sequence[Stub], corner: str, columns: int) -> int:
    """How wide the labels are, with the gap behind them: so that whole cells fill the rest."""
    longest = max((width(visible(s.label)) + 2 * s.inside for s in stubs), default=0)
    wanted = min(max(longest, width(corner)) + 4, _LABEL, max(12, columns // 3))
    return wanted + max(0, columns - wanted) % PITCH


def label_segment(stub: Stub, columns: int, palette: Palette) -> Segment:
    """The name of a stage."""
    sign = f"{stub.fold} " if stub.fold else "    " if stub.inside else "  "
    text = pad(crop(sign + visible(stub.label), columns - 1), columns)
    return Segment(text, palette.strong if stub.fold else palette.plain)


def cell_pieces(states: Sequence[str], palette: Palette) -> Pieces:
    """The cells of a line; a dot where a run has no such stage."""
    return [(f"{symbol(state)}  " if state else "·  ", palette.state(state or "faint")) for state in states]


def bar_pieces(heads: Sequence[RunHead], bars: str, palette: Palette) -> Pieces:
    """A line of the bars above these runs, in the colours of their states."""
    return [(bars[i * PITCH : (i + 1) * PITCH], palette.state(head.state)) for i, head in enumerate(heads)]


def time_pieces(heads: Sequence[RunHead], part: int, cursor: int, palette: Palette) -> Pieces:
    """A part of the times; it is not said again for the run beside it, but at the cursor."""
    pieces: Pieces = []
    for i, head in enumerate(heads):
        same = i > 0 and head.time[: part + 1] == heads[i - 1].time[: part + 1]
        text = "" if same and i != cursor else head.time[part]
        style = palette.plain + palette.dim_cursor if i == cursor else palette.faint
        pieces += [(pad(text, PITCH - 1), style), (" ", palette.plain)]
    return pieces


def joined(label: Segment, pieces: Pieces, cut: int, room: int) -> Strip:
    """A label that stays, and `room` columns of the cells, without the first `cut`."""
    merged: Pieces = []
    for text, style in pieces:
        if merged and merged[-1][1] == style:
            merged[-1] = (merged[-1][0] + text, style)
        else:
            merged.append((text, style))
    cells = Strip([Segment(text, style) for text, style in merged]).adjust_cell_length(cut + room)
    return Strip.join([Strip([label]), cells.crop(cut, cut + room)])


def highlighted(strip: Strip, label: int, cell: int, at_label: Style, at_cell: Style) -> Strip:
    """A line with the cursor: at its label, and at the cell that begins in the column `cell`, if that is in view."""
    columns = strip.cell_length
    name = strip.crop(0, label - 1).apply_style(at_label)
    if not label <= cell < columns:
        return Strip.join([name, strip.crop(label - 1, columns)])
    end = min(cell + PITCH - 1, columns)
    middle = strip.crop(cell, end).apply_style(at_cell)
    return Strip.join([name, strip.crop(label - 1, cell), middle, strip.crop(end, columns)])
