"""The first line of every screen: where one is, what fails and runs, and whether what is shown is still so."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip

from khantui.render.text import crop, width
from khantui.widgets.painted import Themed


class Heading(Themed):
    """Pieces of text at the left and at the right; where there is not enough room, those at the left give way."""

    def __init__(self) -> None:
        super().__init__()
        self._left: list[tuple[str, str]] = []
        self._right: list[tuple[str, str]] = []

    def show(self, left: list[tuple[str, str]], right: list[tuple[str, str]]) -> None:
        """Show these pieces: (text, state or role)."""
        if (left, right) != (self._left, self._right):
            self._left, self._right = left, right
            self.refresh()

    def draw_line(self, y: int) -> Strip:
        palette, columns = self.palette, self.size.width
        right = [Segment(text, palette.state(role)) for text, role in self._right]
        room = columns - sum(width(s.text) for s in right) - 1
        left, used = [Segment(" ")], 1
        for text, role in self._left:
            text = crop(text, room - used)
            left.append(Segment(text, palette.state(role)))
            used += width(text)
        space = Segment(" " * max(0, room - used))
        return Strip([*left, space, *right]).adjust_cell_length(columns)
