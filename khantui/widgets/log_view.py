"""A log of any length: only the lines in view are held, styled and drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Protocol

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from khantui.render.logline import styled
from khantui.widgets.log_margin import Margin
from khantui.widgets.painted import Painted


class Line(Protocol):
    """A line of a log; `text` may be cut, `length` is of the whole, in bytes."""

    @property
    def number(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def length(self) -> int: ...
    @property
    def time(self) -> datetime | None: ...
    @property
    def error(self) -> bool: ...


class Lines(Protocol):
    """A log, of which some lines are held. Lines are counted from 1."""

    total: int
    complete: bool
    first_error: int | None

    def line(self, number: int) -> Line | None:
        """A line, or None while it is not held."""
        ...

    def wanted(self, first: int, last: int) -> list[int]:
        """Where pages begin that lack some of these lines; each is said once until it was answered."""
        ...


class LogView(Painted, can_focus=True):
    """A log. What it lacks it asks for with `Wanted`; what needs the daemon is the screen's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("0", "tail", "tail"),
        Binding("1", "head", "head"),
        Binding("2", "last(1)", "last minute", show=False),
        Binding("3", "last(5)", "last 5 min", show=False),
        Binding("4", "last(15)", "last 15 min", show=False),
        Binding("5", "last(30)", "last 30 min", show=False),
        Binding("6", "last(60)", "last hour", show=False),
        Binding("s", "follow", "follow"),
        Binding("w", "wrap", "wrap"),
        Binding("t", "times", "times"),
        Binding("m", "marker", "marker", show=False),
        Binding("J", "json", "JSON", show=False),
        Binding("j,down", "by(1)", "down", show=False),
        Binding("k,up", "by(-1)", "up", show=False),
        Binding("g,home", "head", "first", show=False),
        Binding("G,end", "tail", "last", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False),
        Binding("h,left", "sideways(-16)", "left", show=False),
        Binding("right", "sideways(16)", "right", show=False),
        Binding("enter", "pick", "the stage's own log", show=False),
    ]

    class Picked(Message):
        """Enter, at a line: the one that is pointed at, or the first in view."""

        def __init__(self, number: int) -> None:
            self.number = number
            super().__init__()

    class Wanted(Message):
        """These lines are looked at and not held."""

        def __init__(self, starts: list[int]) -> None:
            self.starts = starts
            super().__init__()

    class Since(Message):
        """To what was written in the last `minutes`."""

        def __init__(self, minutes: int) -> None:
            self.minutes = minutes
            super().__init__()

    class Changed(Message):
        """Something that the title tells has changed."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LogView.Changed)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.log_lines: Lines | None = None
        self.following = False
        self.wrapping = False
        self.margin_of = Margin()
        self.pretty = False
        self.at: int | None = None  # the line that is pointed at: an error, a match
        self.markers: set[int] = set()
        self.pattern: re.Pattern[str] | None = None
        self.only: Sequence[int] | None = None  # with `&`: the numbers of the lines shown
        self.said = ""  # in place of lines, where there are none
        self._strips: dict[tuple[int, int], list[Strip]] = {}
        self._layout: list[tuple[int, int]] = []  # (row of the list, part of the line) per row on the screen
        self._widest = 0

    # what it shows

    def show(self, lines: Lines | None, said: str = "", *, names: int = 0) -> None:
        """Another log, or none and why; with `names` columns for the stages whose lines are in it."""
        if lines is not self.log_lines:
            self.margin_of.forget()
            self.margin_of.names = names
        self.log_lines, self.said = lines, said
        self.at, self.pattern, self.only = None, None, None
        self.markers.clear()
        self._strips.clear()
        self._widest = 0
        self.scroll_to(0, 0, animate=False, force=True)
        self.grown()

    def grown(self) -> None:
        """There are more lines, or lines that were not there."""
        self._lay_out()
        if self.following:
            self._to_end()
        self._need()
        self.refresh()
        self.post_message(self.Changed())

    @property
    def count(self) -> int:
        """How many lines are scrolled through."""
        if self.only is not None:
            return len(self.only)
        return self.log_lines.total if self.log_lines is not None else 0

    def number(self, row: int) -> int:
        """Which line of the log a row of the list is."""
        return self.only[row] if self.only is not None else row + 1

    def go_to(self, number: int) -> None:
        """Point at a line, in the middle of the view."""
        self.following = False
        self.at = number
        row = number - 1
        if self.only is not None:
            row = next((i for i, n in enumerate(self.only) if n >= number), len(self.only) - 1)
        self.scroll_to(y=max(0, row - self.size.height // 3), animate=False, force=True)
        self._need()
        self.refresh()
        self.post_message(self.Changed())

    def show_only(self, numbers: Sequence[int] | None) -> None:
        """Only these lines, or all again."""
        self.only = numbers
        self._lay_out()
        if self.at is not None:
            self.go_to(self.at)
        self._need()
        self.refresh()

    def search_for(self, pattern: re.Pattern[str] | None) -> None:
        """Have what matches stand out."""
        self.pattern = pattern
        self._strips.clear()
        self.refresh()

    # layout

    def _lay_out(self) -> None:
        columns = 0 if self.wrapping else self._widest + self._indent
        self.virtual_size = Size(max(self.size.width, columns) if columns else self.size.width, self.count)

    @property
    def _indent(self) -> int:
        return self.margin_of.width

    def _to_end(self) -> None:
        self.scroll_to(y=max(0, self.count - self.size.height), animate=False, force=True)

    def _rows(self) -> list[tuple[int, int]]:
        """What is on the screen: for each of its rows the row of the list, and which part of the wrapped line."""
        height, first = self.size.height, self.scroll_offset.y
        if not self.wrapping:
            return [(row, 0) for row in range(first, min(first + height, self.count))]
        found: list[tuple[int, int]] = []
        if first + height >= self.count:  # at the end: the last line is at the bottom
            for row in range(self.count - 1, -1, -1):
                found = [(row, part) for part in range(len(self._parts(row)))] + found
                if len(found) >= height:
                    return found[-height:]
            return found
        for row in range(first, self.count):
            found += [(row, part) for part in range(len(self._parts(row)))]
            if len(found) >= height:
                break
        return found[:height]

    def _need(self) -> None:
        if self.log_lines is None or not self.count:
            return
        first = self.scroll_offset.y
        last = min(first + 2 * self.size.height, self.count - 1)
        first = max(0, first - self.size.height)
        if self.only is None:
            starts = self.log_lines.wanted(first + 1, last + 1)
        else:
            lacking = [n for n in self.only[first : last + 1] if self.log_lines.line(n) is None]
            starts = [start for n in lacking for start in self.log_lines.wanted(n, n)]
        if starts:
            self.post_message(self.Wanted(starts))

    def on_resize(self, event: events.Resize) -> None:
        self._strips.clear()
        self.grown()

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        if round(old) != round(new):
            self._need()
            self.refresh()

    # drawing

    def render_lines(self, crop: object) -> list[Strip]:
        self._layout = self._rows()
        return super().render_lines(crop)  # type: ignore[arg-type]

    def draw_line(self, y: int) -> Strip:
        columns = self.size.width
        palette = self.palette
        if y >= len(self._layout):
            text = self.said if y == 0 and not self.count else ""
            return Strip([Segment("  " + text, palette.faint)]).adjust_cell_length(columns)
        row, part = self._layout[y]
        strips = self._parts(row)
        strip = strips[part] if part < len(strips) else Strip([])
        number = self.number(row)
        left = self.scroll_offset.x
        body = strip if self.wrapping else strip.crop(left, left + columns - self._indent)
        whole = Strip.join([self._margin(number, part), body]).adjust_cell_length(columns, palette.plain)
        return whole.apply_style(palette.cursor) if number == self.at else whole

    def _margin(self, number: int, part: int) -> Strip:
        lines = self.log_lines
        return Strip(
            self.margin_of.segments(
                lines.line(number) if lines is not None else None,
                self.palette,
                first=part == 0,
                marked=number in self.markers,
                first_error=lines is not None and number == lines.first_error,
                dark=self.app.current_theme.dark,
            )
        )

    def _parts(self, row: int) -> list[Strip]:
        """A line as it is drawn: one strip, or several where it is wrapped."""
        number = self.number(row)
        line = self.log_lines.line(number) if self.log_lines is not None else None
        if line is None:
            return [Strip([Segment("·", self.palette.faint)])]
        key = (number, line.length)
        found = self._strips.get(key)
        if found is None:
            if len(self._strips) > 2_000:
                self._strips.clear()
            found = self._strips[key] = self._draw(line)
        return found

    def _draw(self, line: Line) -> list[Strip]:
        palette = self.palette
        text = styled(line.text, pretty=self.pretty)
        base = palette.state("failed") if line.error else palette.plain
        if self.pattern is not None:
            text.highlight_regex(self.pattern, palette.match)
        segments = [
            Segment(piece.text, base + piece.style if isinstance(piece.style, Style) else base)
            for piece in text.render(self.app.console)
            if piece.text and piece.text != "\n"
        ]
        strip = Strip(segments)
        if strip.cell_length > self._widest:
            self._widest = strip.cell_length
            self.call_later(self._lay_out)
        if not self.wrapping:
            return [strip]
        space = max(8, self.size.width - self._indent)
        return [strip.crop(at, at + space) for at in range(0, max(1, strip.cell_length), space)]

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    # keys

    def action_tail(self) -> None:
        """To the end, and stay there."""
        self.following = self.log_lines is not None and not self.log_lines.complete
        self.at = None
        self._to_end()
        self._need()
        self.post_message(self.Changed())

    def action_head(self) -> None:
        """To the first line."""
        self.following = False
        self.scroll_to(y=0, animate=False, force=True)
        self.post_message(self.Changed())

    def action_last(self, minutes: int) -> None:
        """To what was written in the last minutes."""
        self.following = False
        self.post_message(self.Since(minutes))

    def action_follow(self) -> None:
        """Stay at the end as the log grows, or stop that."""
        self.following = not self.following
        if self.following:
            self._to_end()
        self.post_message(self.Changed())

    def action_wrap(self) -> None:
        """Break long lines, or cut them off."""
        self.wrapping = not self.wrapping
        self._again()

    def action_times(self) -> None:
        """Show when each line was written."""
        self.margin_of.with_times = not self.margin_of.with_times
        self._again()

    def action_json(self) -> None:
        """Show JSON lines for people."""
        self.pretty = not self.pretty
        self._again()

    def action_marker(self) -> None:
        """Mark the end of what is there now, so that one sees what is new."""
        self.markers ^= {self.at or self.count}
        self.refresh()

    def action_pick(self) -> None:
        """Say which line is meant."""
        if self.count:
            self.post_message(self.Picked(self.at or self.number(self.scroll_offset.y)))

    def action_by(self, lines: int) -> None:
        """Down or up by lines."""
        self._scroll(lines)

    def action_page(self, by: int) -> None:
        """Down or up by screenfuls."""
        self._scroll(by * max(1, self.size.height - 1))

    def action_sideways(self, columns: int) -> None:
        """Left or right."""
        self.scroll_to(x=max(0, self.scroll_offset.x + columns), animate=False)

    def _scroll(self, lines: int) -> None:
        if lines < 0:
            self.following = False
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False, force=True)
        self.post_message(self.Changed())

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll(-3)
        event.stop()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll(3)
        event.stop()

    def _again(self) -> None:
        self._strips.clear()
        self._lay_out()
        self._need()
        self.refresh()
        self.post_message(self.Changed())
