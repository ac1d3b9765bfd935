"""Lines to read, of any number and length: only those in view are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from khantui.render.text import width
from khantui.widgets.painted import Painted

Line = Sequence[tuple[str, str]]  # (text, state or role)


class LineView(Painted, can_focus=True):
    """Lines of pieces, with their numbers if wanted, and a head that stays on top. The text must be harmless."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "down", show=False),
        Binding("k", "scroll_up", "up", show=False),
        Binding("g", "scroll_home", "first", show=False),
        Binding("G", "scroll_end", "last", show=False),
        Binding("ctrl+f,space", "page_down", "page down", show=False),
        Binding("ctrl+b", "page_up", "page up", show=False),
        Binding("left", "sideways(-8)", "left", show=False),
        Binding("right", "sideways(8)", "right", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text_lines: Sequence[Line] = ()
        self._head: Line = ()
        self._digits = 0
        self._found: int | None = None  # the line that was searched for

    def show(self, lines: Sequence[Line], *, head: Line = (), numbered: bool = False) -> None:
        """Show these, from their beginning."""
        self._text_lines, self._head, self._found = lines, head, None
        self._digits = len(str(len(lines))) if numbered else 0
        widest = max((sum(width(text) for text, _ in line) for line in (head, *lines)), default=0)
        self.virtual_size = Size(widest + self._margin, len(lines) + bool(head))
        self.scroll_to(0, 0, animate=False, force=True)
        self.refresh()

    def find(self, text: str, by: int = 1, *, fresh: bool = False) -> bool:
        """Go to the next line (`by` 1) or the one before (-1) that has `text` in it; False if there is none."""
        count, wanted = len(self._text_lines), text.casefold()
        start = -1 if fresh or self._found is None else self._found
        self._found = None
        for step in range(1, count + 1) if wanted else ():
            at = (start + step * by) % count
            if wanted in "".join(piece for piece, _ in self._text_lines[at]).casefold():
                self._found = at
                self.scroll_to(y=max(0, at - self.size.height // 3), animate=False, force=True)
                break
        self.refresh()
        return self._found is not None

    @property
    def _margin(self) -> int:
        return self._digits + 3 if self._digits else 1

    @property
    def text(self) -> str:
        """All of it, without numbers."""
        return "\n".join(
            "".join(text for text, _ in line) for line in (*([self._head] if self._head else ()), *self._text_lines)
        )

    def draw_line(self, y: int) -> Strip:
        columns = self.size.width
        index = self.scroll_offset.y + y - bool(self._head)
        if self._head and y == 0:
            number, line = "", self._head  # it has no number
        elif index < len(self._text_lines):
            number, line = str(index + 1), self._text_lines[index]
        else:
            return Strip.blank(columns)
        margin = f"{number:>{self._digits + 1}}  " if self._digits else " "
        left, room = self.scroll_offset.x, max(0, columns - self._margin)
        strip = Strip([Segment(text, self.palette.state(role)) for text, role in line])
        strip = strip.crop(left, left + room).adjust_cell_length(room)
        if number and index == self._found:
            strip = strip.apply_style(self.palette.cursor)
        return Strip([Segment(margin, self.palette.faint), *strip]).adjust_cell_length(columns)

    def action_sideways(self, by: int) -> None:
        """To the left or right."""
        self.scroll_relative(x=by, animate=False)
