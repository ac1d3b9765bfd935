"""A list in sections, each with columns of its own: the cursor goes from row to row, past the headings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, NamedTuple, TypeVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from khantui.render.table import Column, cell_of, fit
from khantui.render.text import crop, visible, width
from khantui.widgets.paint import Palette, cell_segments
from khantui.widgets.painted import Painted

T = TypeVar("T")
_GAP = 2
_INDENT = 2
Pieces = Sequence[tuple[str, str]]  # (text, state or role); the text is safe to show


class Section(NamedTuple, Generic[T]):
    """A heading, rows to choose from, and lines that are only read."""

    title: str
    note: Pieces = ()
    columns: Sequence[Column[T]] = ()
    rows: Sequence[T] = ()
    lines: Sequence[Pieces] = ()


class _Line(NamedTuple):
    """What is drawn, and the number of its row (None: it has none)."""

    segments: list[Segment]
    row: int | None = None


class Sections(Painted, Generic[T], can_focus=True):
    """`make` gives the sections for so many columns; `identify` names a row, which the cursor keeps to."""

    DEFAULT_CSS = "Sections { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open"),
        Binding("j,down", "move(1)", "down", show=False),
        Binding("k,up", "move(-1)", "up", show=False),
        Binding("g,home", "edge(False)", "first", show=False),
        Binding("G,end", "edge(True)", "last", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False),
        Binding("tab,J", "section(1)", "next section", show=False),
        Binding("shift+tab,K", "section(-1)", "section before", show=False),
    ]

    class Opened(Message):
        """Enter, or a click on the row that the cursor is at."""

    def __init__(
        self, make: Callable[[int], Sequence[Section[T]]], identify: Callable[[T], str], *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._make_sections = make
        self._identify = identify
        self._choices: list[T] = []
        self._firsts: list[int] = []  # the first row of each section that has any
        self._drawn: list[_Line] = []
        self._line_of: list[int] = []  # row -> line
        self._at = 0
        self._key = ""

    @property
    def chosen(self) -> T | None:
        """The row under the cursor."""
        return self._choices[self._at] if self._at < len(self._choices) else None

    def changed(self) -> None:
        """Ask for the sections again. The cursor stays with its row; if that has gone, where it is."""
        if not self.size.width:
            return
        self._lay_out(self._make_sections(self.size.width))
        keys = [self._identify(row) for row in self._choices]
        if self._key in keys:
            self._at = keys.index(self._key)
        else:
            self._at = max(0, min(self._at, len(keys) - 1))
            self._key = keys[self._at] if keys else ""
        self.virtual_size = Size(self.size.width, len(self._drawn))
        self.refresh()

    # layout

    def _lay_out(self, sections: Sequence[Section[T]]) -> None:
        palette = self.palette
        self._drawn, self._choices, self._line_of, self._firsts = [], [], [], []
        for section in sections:
            if self._drawn:
                self._drawn.append(_Line([]))
            head = [Segment(f" {section.title}  ", palette.strong)]
            head += [Segment(text, palette.state(role)) for text, role in section.note]
            self._drawn.append(_Line(head))
            if section.rows:
                self._firsts.append(len(self._choices))
            self._lay_rows(section, palette)
            for pieces in section.lines:
                line = [Segment(text, palette.state(role)) for text, role in pieces]
                self._drawn.append(_Line([Segment(" " * _INDENT), *line]))

    def _lay_rows(self, section: Section[T], palette: Palette) -> None:
        columns = list(section.columns)
        cells = [[cell_of(column.show(row)) for column in columns] for row in section.rows]
        widths = [max((width(line[i].text) for line in cells), default=0) for i in range(len(columns))]
        filled = [i for i in range(len(columns)) if widths[i]]  # a column that says nothing takes no room
        columns, widths = [columns[i] for i in filled], [widths[i] for i in filled]
        shown = fit(columns, widths, self.size.width - _INDENT - 1)
        for row, line in zip(section.rows, cells, strict=True):
            segments = [Segment(" " * _INDENT)]
            for i in shown:
                segments += cell_segments(line[filled[i]], widths[i], columns[i].right, palette)
                segments.append(Segment(" " * _GAP))
            self._line_of.append(len(self._drawn))
            self._drawn.append(_Line(segments, len(self._choices)))
            self._choices.append(row)

    # drawing

    def draw_line(self, y: int) -> Strip:
        columns, index = self.size.width, self.scroll_offset.y + y
        if index >= len(self._drawn):
            return Strip.blank(columns)
        line = self._drawn[index]
        strip = Strip(line.segments).adjust_cell_length(columns)
        if line.row is None or line.row != self._at:
            return strip
        return strip.apply_style(self.palette.cursor if self.has_focus else self.palette.dim_cursor)

    def on_resize(self) -> None:
        self.changed()
        self._into_view()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self.is_attached:
            self.call_later(self.changed)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def _into_view(self) -> None:
        if not self._choices or not self.size.height:
            return
        line, first = self._line_of[self._at], self.scroll_offset.y
        top = line - 1 if self._at in self._firsts else line  # with the heading
        if self._at == 0:
            top = 0
        if top < first:
            self.scroll_to(y=top, animate=False, force=True)
        elif line >= first + self.size.height:
            self.scroll_to(y=line - self.size.height + 1, animate=False, force=True)

    # keys and mouse

    def go_to(self, row: int) -> None:
        """Put the cursor at a row, counted over all sections."""
        if self._choices:
            self._at = max(0, min(row, len(self._choices) - 1))
            self._key = self._identify(self._choices[self._at])
            self._into_view()
            self.refresh()

    def action_move(self, by: int) -> None:
        """Down or up; where there is no further row, the view goes on to what is only read."""
        if by > 0 and self._at >= len(self._choices) - 1:
            self.scroll_relative(y=1, animate=False)
        else:
            self.go_to(self._at + by)

    def action_edge(self, last: bool) -> None:
        """To the last row or the first."""
        self.go_to(len(self._choices) - 1 if last else 0)
        if last:
            self.scroll_end(animate=False)

    def action_page(self, by: int) -> None:
        """A screenful down or up."""
        self.scroll_relative(y=by * max(1, self.size.height - 2), animate=False)
        self.go_to(self._at + by * max(1, self.size.height - 2))

    def action_section(self, by: int) -> None:
        """To the first row of another section."""
        if self._firsts:
            here = max((i for i, first in enumerate(self._firsts) if first <= self._at), default=0)
            self.go_to(self._firsts[(here + by) % len(self._firsts)])

    def action_open(self) -> None:
        """Into the row."""
        if self.chosen is not None:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        index = self.scroll_offset.y + event.y
        row = self._drawn[index].row if index < len(self._drawn) else None
        if row is not None:
            again = row == self._at
            self.go_to(row)
            if again or event.chain > 1:
                self.action_open()


def fact(name: str, value: str, role: str = "", *, columns: int) -> Pieces:
    """`etcd       3.6.16 · …`, in so many columns."""
    return [(f"{name:<11}", "faint"), (crop(visible(value), columns - 11 - _INDENT), role)]
