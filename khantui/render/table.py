"""Tables that give way: on a narrow terminal the less important columns go first, then the longest text is cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from khantui.render.status import faint, paint
from khantui.render.text import crop, pad, visible, width

T = TypeVar("T")
_GAP = 2


class Cell(NamedTuple):
    """Text, and the state whose colour it has (none: empty); or pieces of text, each with its own."""

    text: str
    state: str = ""
    parts: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_parts(cls, parts: tuple[tuple[str, str], ...]) -> Cell:
        """A cell of several colours."""
        return cls("".join(text for text, _ in parts), "", parts)


class Column(NamedTuple, Generic[T]):
    """A column: its title, what it shows of a row, and how much it matters (0 always stays)."""

    title: str
    show: Callable[[T], str | Cell]
    rank: int = 0
    right: bool = False
    flexible: bool = False  # may be cut where space is short


def table(
    rows: Sequence[T], columns: Sequence[Column[T]], *, space: int | None = None, colour: bool = False
) -> list[str]:
    """The lines of a table: titles, then one line a row, in at most `space` columns (None: as wide as it gets)."""
    grid = [[cell_of(column.show(row)) for row in rows] for column in columns]
    widths = [
        max([width(c.title), *(width(cell.text) for cell in cells)]) for c, cells in zip(columns, grid, strict=True)
    ]
    shown = fit(columns, widths, space)
    titles = [pad(columns[i].title, widths[i], columns[i].right) for i in shown]
    gap = " " * _GAP
    body = (
        gap.join(_draw(grid[i][number], widths[i], columns[i].right, colour) for i in shown).rstrip()
        for number in range(len(rows))
    )
    return [faint(gap.join(titles).rstrip(), colour), *body]


def cell_of(value: str | Cell) -> Cell:
    """What a column shows, with control characters made visible."""
    cell = value if isinstance(value, Cell) else Cell(value)
    return cell if cell.parts else cell._replace(text=visible(cell.text))


def _draw(cell: Cell, columns: int, right: bool, colour: bool) -> str:
    if cell.parts:
        return pad("".join(paint(text, state, colour) for text, state in cell.parts), columns, right)
    text = crop(cell.text, columns)
    return pad(paint(text, cell.state, colour) if cell.state else text, columns, right)


def fit(columns: Sequence[Column[T]], widths: list[int], space: int | None) -> list[int]:
    """Which columns are shown; cuts `widths` of flexible ones in place."""
    shown = list(range(len(columns)))
    if space is None:
        return shown

    def excess() -> int:
        return sum(widths[i] for i in shown) + _GAP * (len(shown) - 1) - space

    # first cut what may be cut to something still readable, then let columns go, then cut as far as it takes
    _cut(columns, widths, shown, excess, least=24)
    while excess() > 0 and (losers := [i for i in shown if columns[i].rank > 0]):
        shown.remove(max(losers, key=lambda i: (columns[i].rank, i)))
    _cut(columns, widths, shown, excess, least=6)
    return shown


def _cut(
    columns: Sequence[Column[T]], widths: list[int], shown: list[int], excess: Callable[[], int], least: int
) -> None:
    while (over := excess()) > 0:
        candidates = [i for i in shown if columns[i].flexible and widths[i] > least]
        if not candidates:
            return
        longest = max(candidates, key=lambda i: widths[i])
        widths[longest] = max(least, widths[longest] - over)
