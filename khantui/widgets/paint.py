"""Styles for states and roles, from the theme's variables."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.color import Color

from khantui.render.table import Cell
from khantui.render.text import crop, width


class Palette:
    """The styles of a theme, made once for it."""

    def __init__(self, app: App[object]) -> None:
        variables = app.theme_variables
        self._states = {
            name.removeprefix("state-"): Style(color=_opaque(value).rich_color)
            for name, value in variables.items()
            if name.startswith("state-")
        }
        self.plain = Style(color=_opaque(variables["foreground"]).rich_color)
        background = _opaque(variables["background"])
        foreground = _opaque(variables["foreground"])
        self.faint = Style(color=background.blend(foreground, 0.62).rich_color)
        self.title = self.faint + Style(bold=True)
        self.strong = self.plain + Style(bold=True)
        self.accent = Style(color=_opaque(variables["accent"]).rich_color)
        self.cursor = Style(bgcolor=background.blend(_opaque(variables["accent"]), 0.24).rich_color)
        self.dim_cursor = Style(bgcolor=background.blend(foreground, 0.12).rich_color)
        self.match = Style(color=background.rich_color, bgcolor=_opaque(variables["warning"]).rich_color)
        self._states |= {
            "faint": self.faint,
            "strong": self.strong,
            "title": self.accent + Style(bold=True),
            "edge": self.faint,
            "critical": self.accent,
        }

    def state(self, name: str) -> Style:
        """The style of a state or a role, or of ordinary text."""
        return self._states.get(name, self.plain)


def _opaque(value: str) -> Color:
    return Color.parse(value)


def cell_segments(cell: Cell, columns: int, right: bool, palette: Palette) -> list[Segment]:
    """A cell of a table in exactly so many columns."""
    if cell.parts and width(cell.text) <= columns:
        segments = [Segment(text, palette.state(state)) for text, state in cell.parts]
        used = width(cell.text)
    else:
        text = crop(cell.text, columns)
        segments, used = [Segment(text, palette.state(cell.state))], width(text)
    space = Segment(" " * max(0, columns - used))
    return [space, *segments] if right else [*segments, space]
