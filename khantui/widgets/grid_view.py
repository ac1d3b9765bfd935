"""Runs × stages: a column a run, a line a stage, a symbol where they meet. Only what is in view is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from khantui.render.spark import chart
from khantui.render.text import crop, pad
from khantui.widgets import grid_paint as paint
from khantui.widgets.grid_paint import PITCH, RunHead, Stub
from khantui.widgets.painted import Painted

_NEAR = 6  # runs from the left end at which more are asked for
_TALL = 24  # lines from which on the bars are three lines high


class GridView(Painted, can_focus=True):
    """Cells with a cursor, which keeps to its run and its stage."""

    DEFAULT_CSS = "GridView { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open"),
        Binding("space", "fold", "fold"),
        Binding("h,left", "move(0, -1)", "run before", show=False),
        Binding("l,right", "move(0, 1)", "next run", show=False),
        Binding("j,down", "move(1, 0)", "down", show=False),
        Binding("k,up", "move(-1, 0)", "up", show=False),
        Binding("g", "edge(False)", "first stage", show=False),
        Binding("G", "edge(True)", "last stage", show=False),
        Binding("home,0", "newest(False)", "oldest run", show=False),
        Binding("end,dollar_sign", "newest(True)", "newest run", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False),
    ]

    class Opened(Message):
        """Enter, or a click on the cell that the cursor is at."""

    class Folded(Message):
        """A line that stands for others is to be folded or unfolded, or the one that the cursor's line is under."""

    class Moved(Message):
        """The cursor is at another cell."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, GridView.Moved)

    class LeftWanted(Message):
        """The left end is in view, or nearly."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, GridView.LeftWanted)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._heads: list[RunHead] = []
        self._stubs: list[Stub] = []
        self._states_of: Callable[[int], Sequence[str]] = lambda line: ()
        self._corner = ""
        self.empty = "…"
        self.line, self.column = 0, 0  # where the cursor is
        self.at = ("", "")  # the keys of its line and its run
        self._states: dict[int, Sequence[str]] = {}  # line -> what its cells show
        self._strips: dict[int, Strip] = {}  # line -> what of it is in view
        self._drawn_for = (-1, -1)  # scroll offset and width that the strips were made for
        self._bars: list[str] = []
        self._label = 0

    # what it shows

    def show(
        self, heads: Sequence[RunHead], stubs: Sequence[Stub], states: Callable[[int], Sequence[str]], corner: str
    ) -> None:
        """Show these; `states` gives what a line's cells show, one for each run, empty where there is nothing.

        The cursor stays with its run and its stage, and what is in view stays where it is.
        """
        first = not self._heads
        at_end = self.column >= len(self._heads) - 1 and self.scroll_offset.x >= self.max_scroll_x
        left = self._heads[self._first].key if self._heads and self._first < len(self._heads) else ""
        self._heads, self._stubs, self._states_of, self._corner = list(heads), list(stubs), states, corner
        self._states.clear()
        self._strips.clear()
        self._fit()
        if first and self._heads:
            self._begin()
        elif self._heads:
            self._keep(left, at_end)
        self.refresh()
        self.call_after_refresh(self._settle, follow=first)
        self.post_message(self.Moved())

    def _begin(self) -> None:
        """At the newest run, at what failed first."""
        self.column = len(self._heads) - 1
        bad = (i for i in range(len(self._stubs)) if self._cells(i)[self.column] == "failed")
        self.line = next(bad, 0)
        self._remember()

    def _settle(self, *, follow: bool) -> None:
        """What is in view is known: bring the cursor into it at the beginning, and see whether more is needed."""
        if follow:
            self._into_view()
        self._look_left()

    def _keep(self, left: str, at_end: bool) -> None:
        lines, runs = [s.key for s in self._stubs], [h.key for h in self._heads]
        line, run = self.at
        self.line = lines.index(line) if line in lines else max(0, min(self.line, len(lines) - 1))
        self.column = runs.index(run) if run in runs else max(0, min(self.column, len(runs) - 1))
        self._remember()
        if at_end:
            self.scroll_to(x=self.max_scroll_x, animate=False, force=True)
        elif left in runs:
            offset = self.scroll_offset.x % PITCH
            self.scroll_to(x=runs.index(left) * PITCH + offset, animate=False, force=True)

    def _cells(self, line: int) -> Sequence[str]:
        if line not in self._states:
            self._states[line] = self._states_of(line)
        return self._states[line]

    # layout

    @property
    def _tall(self) -> int:
        return 3 if self.size.height >= _TALL else 1

    @property
    def _top(self) -> int:
        """Lines above the first stage."""
        return self._tall + (len(self._heads[0].time) if self._heads else 0)

    @property
    def _first(self) -> int:
        """The first run in view."""
        return self.scroll_offset.x // PITCH

    @property
    def _room(self) -> int:
        """Columns of the terminal for cells."""
        return max(1, self.size.width - self._label)

    @property
    def _last(self) -> int:
        """The first run behind those in view."""
        return (self.scroll_offset.x + self._room) // PITCH + 1

    def _fit(self) -> None:
        self._label = paint.label_columns(self._stubs, self._corner, self.size.width)
        self._bars = chart([head.took for head in self._heads], self._tall, PITCH * len(self._heads))
        self.virtual_size = Size(self._label + PITCH * len(self._heads), len(self._stubs) + self._top)

    def on_resize(self) -> None:
        self._strips.clear()
        self._fit()
        self._into_view()
        self._look_left()

    def _into_view(self) -> None:
        if not self._heads or not self.size.height:
            return
        x, y = self.scroll_offset
        left, lines = self.column * PITCH, max(1, self.size.height - self._top)
        x = left if left < x else max(x, left + PITCH - self._room)
        y = self.line if self.line < y else max(y, self.line - lines + 1)
        if (x, y) != tuple(self.scroll_offset):
            self.scroll_to(x=x, y=y, animate=False, force=True)

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_x(old_value, new_value)
        self._look_left()

    def _look_left(self) -> None:
        if self._heads and self._first < _NEAR:
            self.post_message(self.LeftWanted())

    # drawing

    def draw_line(self, y: int) -> Strip:
        columns, view = self.size.width, (self.scroll_offset.x, self.size.width)
        if not self._heads:
            return Strip([Segment(f"  {self.empty}" if y == 1 else "", self.palette.faint)]).adjust_cell_length(columns)
        if view != self._drawn_for:
            self._strips.clear()
            self._drawn_for = view
        if y < self._top:
            return self._head(y)
        line = self.scroll_offset.y + y - self._top
        if line >= len(self._stubs):
            return Strip.blank(columns)
        if line not in self._strips:
            self._strips[line] = self._body_line(line)
        return self._with_cursor(self._strips[line]) if line == self.line else self._strips[line]

    def _head(self, y: int) -> Strip:
        """A line above the stages: the bars, then the parts of the times."""
        part, first, last = y - self._tall, self._first, self._last
        heads = self._heads[first:last]
        text = self._corner if part == 0 else ""
        label = Segment(pad(crop(f"  {text}", self._label - 1), self._label), self.palette.faint)
        if part < 0:
            pieces = paint.bar_pieces(heads, self._bars[y][first * PITCH : last * PITCH], self.palette)
        else:
            pieces = paint.time_pieces(heads, part, self.column - first, self.palette)
        return paint.joined(label, pieces, self.scroll_offset.x % PITCH, self._room)

    def _body_line(self, line: int) -> Strip:
        label = paint.label_segment(self._stubs[line], self._label, self.palette)
        pieces = paint.cell_pieces(self._cells(line)[self._first : self._last], self.palette)
        return paint.joined(label, pieces, self.scroll_offset.x % PITCH, self._room)

    def _with_cursor(self, strip: Strip) -> Strip:
        palette, cell = self.palette, self._label + self.column * PITCH - self.scroll_offset.x
        at_cell = palette.cursor if self.has_focus else palette.dim_cursor
        return paint.highlighted(strip, self._label, cell, palette.dim_cursor, at_cell)

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    # keys and mouse

    def go_to(self, line: int, column: int) -> None:
        """Put the cursor at a cell."""
        if self._heads and self._stubs:
            before, offset = (self.line, self.column), self.scroll_offset
            self.line = max(0, min(line, len(self._stubs) - 1))
            self.column = max(0, min(column, len(self._heads) - 1))
            self._remember()
            self._into_view()
            if self.scroll_offset == offset:
                top = Region(0, 0, self.size.width, self._top if self.column != before[1] else 0)
                self.refresh(top, *(self._region_of(line) for line in {before[0], self.line}))
            else:
                self.refresh()
            self.post_message(self.Moved())

    def _region_of(self, line: int) -> Region:
        """Where a line is drawn, relative to the widget."""
        return Region(0, line - self.scroll_offset.y + self._top, self.size.width, 1)

    def _remember(self) -> None:
        line = self._stubs[self.line].key if self.line < len(self._stubs) else ""
        self.at = (line, self._heads[self.column].key if self.column < len(self._heads) else "")

    def action_move(self, down: int, right: int) -> None:
        """To the next cell."""
        self.go_to(self.line + down, self.column + right)

    def action_edge(self, last: bool) -> None:
        """To the last stage or the first."""
        self.go_to(len(self._stubs) - 1 if last else 0, self.column)

    def action_newest(self, newest: bool) -> None:
        """To the newest run, or the oldest that is known."""
        self.go_to(self.line, len(self._heads) - 1 if newest else 0)

    def action_page(self, by: int) -> None:
        """A screenful down or up."""
        self.go_to(self.line + by * max(1, self.size.height - self._top - 1), self.column)

    def action_open(self) -> None:
        """Into the cell; a line that stands for others is folded or unfolded."""
        if self.line < len(self._stubs):
            self.post_message(self.Folded() if self._stubs[self.line].fold else self.Opened())

    def action_fold(self) -> None:
        """Fold or unfold the stage."""
        if self.line < len(self._stubs) and (self._stubs[self.line].fold or self._stubs[self.line].inside):
            self.post_message(self.Folded())

    def on_click(self, event: events.Click) -> None:
        line = self.scroll_offset.y + event.y - self._top
        if not 0 <= line < len(self._stubs):
            return
        at_label = event.x < self._label
        column = self.column if at_label else (event.x - self._label + self.scroll_offset.x) // PITCH
        again = (line, column) == (self.line, self.column)
        self.go_to(line, column)
        if (at_label and self._stubs[line].fold) or (not at_label and (again or event.chain > 1)):
            self.action_open()
