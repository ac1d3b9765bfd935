"""What stands before the lines of a log: marks, times, and in a log of several stages whose line it is."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from rich.segment import Segment
from rich.style import Style

from khantui.render.logline import clock
from khantui.render.text import crop, pad, visible
from khantui.widgets.paint import Palette

MARKS = 2  # columns for the mark of an error, or of the user
_TIMES = 10
# told apart by eye, in an order in which neighbours differ; the name stands there as well
_ON_DARK = ("#7dcfff", "#e5a06c", "#b39df3", "#9bc96a", "#f2a2cc", "#d9c46c", "#6fd3b7", "#9db2ff")
_ON_LIGHT = ("#00627a", "#8f4a00", "#5b3bb8", "#3f6600", "#9a2067", "#6b5600", "#006b53", "#2f4bb0")


class Line(Protocol):
    """What a margin needs to know of a line."""

    @property
    def number(self) -> int: ...
    @property
    def time(self) -> datetime | None: ...
    @property
    def error(self) -> bool: ...


class Margin:
    """How the space before a line is used."""

    def __init__(self) -> None:
        self.with_times = False
        self.names = 0  # columns for the names of stages; 0: it is the log of one
        self._order: dict[str, int] = {}  # stage -> which colour
        self._styles: dict[bool, list[Style]] = {}

    @property
    def width(self) -> int:
        """Its columns."""
        return MARKS + _TIMES * self.with_times + (self.names + 3 if self.names else 0)

    def segments(
        self, line: Line | None, palette: Palette, *, first: bool, marked: bool, first_error: bool, dark: bool
    ) -> list[Segment]:
        """What stands before a line, or before what it was wrapped to (not `first`)."""
        mark, style = "  ", palette.faint
        if first and marked:
            mark, style = "◆ ", palette.accent
        elif first and first_error:
            mark, style = "▶ ", palette.state("failed")
        elif first and line is not None and line.error:
            mark, style = "! ", palette.state("failed")
        found = [Segment(mark, style)]
        if self.with_times:
            found.append(Segment(f"{clock(line.time if line is not None and first else None)}  ", palette.faint))
        if self.names:
            name, colour = self._name(line, dark) if line is not None else ("", palette.faint)
            found += [Segment(pad(name, self.names), colour), Segment(" │ ", palette.faint)]
        return found

    def _name(self, line: Line, dark: bool) -> tuple[str, Style]:
        stage, attempt = getattr(line, "stage", ""), getattr(line, "attempt", 1)
        place = self._order.setdefault(stage, len(self._order))
        if dark not in self._styles:
            self._styles[dark] = [Style(color=colour) for colour in (_ON_DARK if dark else _ON_LIGHT)]
        styles = self._styles[dark]
        which = f"#{attempt}" if attempt > 1 else ""
        return crop(visible(stage), self.names - len(which)) + which, styles[place % len(styles)]

    def forget(self) -> None:
        """It is before another log."""
        self._order.clear()
        self.names = 0
