"""The Gantt of a run, one line a stage, under an axis that stays where it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from khantui.render.gantt import Bar, Piece, axis, bar_columns, extent, gantt
from khantui.render.text import visible, width
from khantui.widgets.stage_picture import StagePicture

_LABEL = 26  # columns of a label, with its symbol, at most


class GanttView(StagePicture):
    """Bars with a cursor. `selected` is the name of one of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open"),
        Binding("j,down", "move(1)", "down", show=False),
        Binding("k,up", "move(-1)", "up", show=False),
        Binding("g,home", "edge(False)", "first", show=False),
        Binding("G,end", "edge(True)", "last", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._bars: tuple[Bar, ...] = ()
        self._index: dict[str, int] = {}
        self._now = datetime.fromtimestamp(0, UTC)
        self._axis = ""
        self._lines: list[list[Piece]] = []
        self._fitted = -1  # columns that the lines were made for

    def show(self, bars: Sequence[Bar], now: datetime) -> None:
        """Show these as of `now`. The cursor stays at its bar; if that has gone, it is at the first."""
        before = self._index.get(self.selected)
        self._bars, self._now = tuple(bars), now
        self._index = {bar.name: i for i, bar in enumerate(self._bars)}
        self._fitted = -1
        self.virtual_size = Size(self.size.width, len(self._bars) + 1)
        if self.selected not in self._index:
            self.selected = self._bars[0].name if self._bars else ""
        self.refresh()
        if self._index.get(self.selected) != before:  # else leave it where somebody has scrolled it
            self.call_after_refresh(self._into_view)

    def watch_selected(self) -> None:
        self._into_view()

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._bars) + 1)
        self._into_view()
        self.refresh()

    def _into_view(self) -> None:
        index = self._index.get(self.selected)
        lines = self.size.height - 1  # below the axis
        if index is None or lines <= 0:
            return
        first = self.scroll_offset.y
        if index < first:
            self.scroll_to(y=index, animate=False, force=True)
        elif index >= first + lines:
            self.scroll_to(y=index - lines + 1, animate=False, force=True)

    # drawing

    def draw_line(self, y: int) -> Strip:
        palette, columns = self.palette, self.size.width
        if columns != self._fitted:
            self._fit(columns)
        if y == 0:
            return Strip([Segment(self._axis, palette.faint)]).adjust_cell_length(columns)
        index = self.scroll_offset.y + y - 1
        if index >= len(self._lines):
            return Strip.blank(columns)
        pieces = [Segment(text, palette.state(state)) for text, state in self._lines[index]]
        strip = Strip(pieces).adjust_cell_length(columns)
        if self._bars[index].name == self.selected:
            strip = strip.apply_style(palette.cursor if self.has_focus else palette.dim_cursor)
        return strip

    def _fit(self, columns: int) -> None:
        longest = max((width(visible(bar.label)) for bar in self._bars), default=0) + 2
        label = min(longest, _LABEL, max(columns // 3, 8))
        self._lines = gantt(self._bars, self._now, columns, label)
        room = bar_columns(self._bars, self._now, columns, label)
        self._axis = " " * (label + 1) + axis(*extent(self._bars, self._now), room) if self._bars else ""
        self._fitted = columns

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    # keys and mouse

    def action_move(self, by: int) -> None:
        """Down or up."""
        self._go_to(self._index.get(self.selected, 0) + by)

    def action_edge(self, last: bool) -> None:
        """To the last bar or the first."""
        self._go_to(len(self._bars) - 1 if last else 0)

    def action_open(self) -> None:
        """Into the stage."""
        if self.selected in self._index:
            self.post_message(self.Opened(self.selected))

    def _go_to(self, index: int) -> None:
        if not self._bars:
            return
        name = self._bars[max(0, min(index, len(self._bars) - 1))].name
        if name != self.selected:
            self.selected = name
            self.post_message(self.Selected(name))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y == 0:
            return
        index = self.scroll_offset.y + offset.y - 1
        if index >= len(self._bars):
            return
        again = self._bars[index].name == self.selected
        self._go_to(index)
        if again or event.chain > 1:
            self.action_open()
