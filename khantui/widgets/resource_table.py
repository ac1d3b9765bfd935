"""A table of any length: only the rows in view are asked for, measured and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from khantui.render.table import Cell, Column, cell_of, fit
from khantui.render.text import pad, width
from khantui.widgets.paint import cell_segments
from khantui.widgets.painted import Painted

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_GAP = 2
_MARK = 2  # columns before the first, for the mark


class Rows(Protocol[T_co]):
    """What a table shows: so many rows, of which some may not be known yet."""

    @property
    def count(self) -> int:
        """How many."""
        ...

    def row(self, index: int) -> T_co | None:
        """One of them, or None while it is not known."""
        ...


class ResourceTable(Painted, Generic[T], can_focus=True):
    """Rows with a cursor and marks. `name` gives each row's identity, which the cursor and the marks keep to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open"),
        Binding("j,down", "move(1)", "down", show=False),
        Binding("k,up", "move(-1)", "up", show=False),
        Binding("g,home", "edge(False)", "first", show=False),
        Binding("G,end", "edge(True)", "last", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False),
        Binding("space", "mark", "mark", show=False),
        Binding("ctrl+@,ctrl+space", "mark_range", "mark to here", show=False),
    ]

    class Opened(Message):
        """Enter, or a click on the row that the cursor is at."""

        def __init__(self, row: object) -> None:
            self.row = row
            super().__init__()

    class Moved(Message):
        """The cursor is at another row."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ResourceTable.Moved)

    class InView(Message):
        """Other rows are in view: `first` to `last`."""

        def __init__(self, first: int, last: int) -> None:
            self.first, self.last = first, last
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ResourceTable.InView)

    class SortAsked(Message):
        """A column's title was clicked."""

        def __init__(self, title: str) -> None:
            self.title = title
            super().__init__()

    def __init__(
        self,
        columns: Callable[[], Sequence[Column[T]]],
        name: Callable[[T], str],
        *,
        id: str | None = None,
        empty: str = "",
    ) -> None:
        super().__init__(id=id)
        self._make_columns = columns
        self._identify = name
        self._rows: Rows[T] | None = None
        self._columns: list[Column[T]] = list(columns())
        self._widths: list[int] = []
        self._shown: list[int] = []
        self._fitted: list[int] = []
        self.cursor = 0
        self._at = ""  # identity of the row under the cursor
        self._touched = False  # somebody has put the cursor where it is, so it stays with its row
        self.marked: set[str] = set()
        self._anchor: int | None = None
        self.wide = False
        self.sorted_by = ""  # a column's title, with a minus before it for the other direction
        self.empty = empty
        self._bars: tuple[Strip, ...] = ()

    # what it shows

    def show(self, rows: Rows[T], *, keep: bool = True) -> None:
        """Show these rows; the cursor stays at its row if that is known to be elsewhere now (`moved_by`)."""
        self._rows = rows
        if not keep:
            self.cursor, self._at, self._anchor, self._touched = 0, "", None, False
            self.marked.clear()
            self._widths = []
            self.scroll_to(0, 0, animate=False)
        self.changed()

    def changed(self, above: int = 0) -> None:
        """The rows have changed; `above` new ones are on top, so that the others are further down."""
        if self._rows is None:
            return
        if self._touched:
            self.cursor += above
        self._columns = list(self._make_columns())
        self._measure()
        count = self._rows.count
        self.virtual_size = Size(self._total(), count + 1)
        if above and self.scroll_offset.y > 0:
            self.scroll_to(y=self.scroll_offset.y + above, animate=False, force=True)
        self.cursor = max(0, min(self.cursor, count - 1))
        self._remember()
        self.refresh()
        self._say_view()

    def tick(self) -> None:
        """Time has passed: draw what says how long ago something was."""
        self._columns = list(self._make_columns())
        self.refresh()

    @property
    def current(self) -> T | None:
        """The row under the cursor."""
        return self._rows.row(self.cursor) if self._rows is not None and self._rows.count else None

    def chosen(self) -> list[str]:
        """The identities of the marked rows, or of the one under the cursor, with which it stays from now on."""
        if self.marked:
            return sorted(self.marked)
        self._touched = True  # what is done to it may move it, and the next key is meant for it as well
        return [self._identify(self.current)] if self.current is not None else []

    def stay_at(self, index: int) -> None:
        """The row that the cursor is at is here now; the view does not follow unless somebody put the cursor there."""
        if self._touched:
            self.go_to(index)

    def go_to(self, index: int) -> None:
        """Put the cursor at a row."""
        if self._rows is None:
            return
        self._touched = True
        before, top = self.cursor, self.scroll_offset.y
        self.cursor = max(0, min(index, self._rows.count - 1))
        self._into_view()
        self._remember()
        if self.scroll_offset.y == top:
            self.refresh(self.region_of(before), self.region_of(self.cursor))
        self.post_message(self.Moved())

    def _remember(self) -> None:
        row = self.current
        name = self._identify(row) if row is not None else ""
        if name != self._at:
            self._at = name
            self.post_message(self.Moved())

    # layout

    def _view(self) -> tuple[int, int]:
        first = self.scroll_offset.y
        return first, first + max(0, self.size.height - 2)

    def _measure(self) -> None:
        """Widths that fit what is in view. They grow only, so that nothing jumps while one scrolls."""
        if self._rows is None or not self.size.width:
            return
        first, last = self._view()
        rows = [r for i in range(first, last + 1) if (r := self._rows.row(i)) is not None]
        if len(self._widths) != len(self._columns):
            self._widths = [0] * len(self._columns)
        for i, column in enumerate(self._columns):
            arrow = bool(self.sorted_by) and column.title == self.sorted_by.removeprefix("-")
            least = width(column.title) + arrow if column.title else 2  # a sign, which may be wide
            self._widths[i] = max(self._widths[i], least)
            for row in rows:
                self._widths[i] = max(self._widths[i], width(cell_of(column.show(row)).text))
        self._fitted = list(self._widths)
        space = None if self.wide else self.size.width - _MARK - 1
        self._shown = fit(self._columns, self._fitted, space)

    def on_resize(self, event: events.Resize) -> None:
        self._widths = []
        self.changed()

    def toggle_wide(self) -> None:
        """Show all columns, wider than the screen if need be, or only what fits."""
        self.wide = not self.wide
        self._widths = []
        self.changed()

    def _total(self) -> int:
        """Columns of the screen that a whole row takes."""
        needed = sum(self._fitted[i] + _GAP for i in self._shown) + _MARK if self.wide and self._fitted else 0
        return max(self.size.width, needed)

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        if round(old) != round(new):
            self._measure()
            self.virtual_size = Size(self._total(), self.virtual_size.height)
            self._say_view()

    def _say_view(self) -> None:
        first, last = self._view()
        self.post_message(self.InView(first, last))

    def _into_view(self) -> None:
        first, last = self._view()
        if self.cursor < first:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor > last:
            self.scroll_to(y=self.cursor - max(0, self.size.height - 2), animate=False, force=True)

    # drawing

    def draw_line(self, y: int) -> Strip:
        columns = self.size.width
        if y == 0:
            return self._titles(columns)
        index = self.scroll_offset.y + y - 1
        if self._rows is None or index >= self._rows.count:
            said = self.empty if self._rows is not None and index == 0 else ""
            return Strip([Segment("  " + said, self.palette.faint)]).adjust_cell_length(columns)
        row = self._rows.row(index)
        strip = self._line(row, columns) if row is not None else self._unknown(columns)
        if index == self.cursor:
            strip = strip.apply_style(self.palette.cursor if self.has_focus else self.palette.dim_cursor)
        return strip

    def _line(self, row: T, columns: int) -> Strip:
        palette = self.palette
        marked = self._identify(row) in self.marked
        segments = [Segment("▌ " if marked else "  ", palette.accent)]
        for i in self._shown:
            column = self._columns[i]
            cell: Cell = cell_of(column.show(row))
            segments += cell_segments(cell, self._fitted[i], column.right, palette)
            segments.append(Segment(" " * _GAP))
        return self._cropped(Strip(segments), columns)

    def _cropped(self, strip: Strip, columns: int) -> Strip:
        left = self.scroll_offset.x
        return strip.crop(left, left + columns).adjust_cell_length(columns)

    def _titles(self, columns: int) -> Strip:
        palette = self.palette
        segments = [Segment("  ")]
        for i in self._shown:
            column = self._columns[i]
            mark = ""
            if self.sorted_by and column.title == self.sorted_by.removeprefix("-"):
                mark = "↓" if self.sorted_by.startswith("-") else "↑"
            text = pad(column.title + mark, self._fitted[i], column.right)[: self._fitted[i]]
            segments += [Segment(text, palette.title), Segment(" " * _GAP)]
        return self._cropped(Strip(segments), columns)

    def _unknown(self, columns: int) -> Strip:
        return Strip([Segment("  ·", self.palette.faint)]).adjust_cell_length(columns)

    # keys and mouse

    def action_move(self, by: int) -> None:
        """Down or up."""
        self.go_to(self.cursor + by)

    def action_edge(self, last: bool) -> None:
        """To the last row or the first."""
        self.go_to(self._rows.count - 1 if last and self._rows is not None else 0)

    def action_page(self, by: int) -> None:
        """A screenful down or up."""
        self.go_to(self.cursor + by * max(1, self.size.height - 2))

    def action_open(self) -> None:
        """Into the row."""
        if (row := self.current) is not None:
            self.post_message(self.Opened(row))

    def action_mark(self) -> None:
        """Mark the row, or take the mark away."""
        row = self.current
        if row is None:
            return
        self.marked ^= {self._identify(row)}
        self._anchor = self.cursor
        self.go_to(self.cursor + 1)

    def action_mark_range(self) -> None:
        """Mark all from the last marked row to here."""
        if self._rows is None:
            return
        start = self._anchor if self._anchor is not None else self.cursor
        for i in range(min(start, self.cursor), max(start, self.cursor) + 1):
            if (row := self._rows.row(i)) is not None:
                self.marked.add(self._identify(row))
        self.refresh()
        self.post_message(self.Moved())

    def clear_marks(self) -> None:
        """Take all marks away."""
        self.marked.clear()
        self._anchor = None
        self.refresh()
        self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            self._clicked_title(event.x + self.scroll_offset.x)
            return
        index = self.scroll_offset.y + event.y - 1
        if self._rows is None or index >= self._rows.count:
            return
        again = index == self.cursor
        self.go_to(index)
        if again or event.chain > 1:
            self.action_open()

    def _clicked_title(self, x: int) -> None:
        left = _MARK
        for i in self._shown:
            if left <= x < left + self._fitted[i]:
                self.post_message(self.SortAsked(self._columns[i].title))
            left += self._fitted[i] + _GAP

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def region_of(self, index: int) -> Region:
        """Where a row is drawn, relative to the widget."""
        return Region(0, index - self.scroll_offset.y + 1, self.size.width, 1)
