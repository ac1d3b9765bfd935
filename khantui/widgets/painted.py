"""What draws its own lines: only those in view, in the theme's colours."""

from __future__ import annotations

from rich.style import Style
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from khantui.widgets.paint import Palette


class Themed(Widget):
    """A widget that is drawn line by line, on the theme's background."""

    _palette: Palette | None = None
    _ground: Style = Style.null()

    @property
    def palette(self) -> Palette:
        """The styles of the present theme."""
        if self._palette is None:
            self._palette = Palette(self.app)
            self._ground = Style(bgcolor=self.background_colors[1].rich_color)
        return self._palette

    def draw_line(self, y: int) -> Strip:
        """A line of what is in view, from 0."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        self.palette  # noqa: B018  makes the ground as well
        return self.draw_line(y).apply_style(self._ground)

    def notify_style_update(self) -> None:
        self._palette = None
        super().notify_style_update()


class Painted(ScrollView, Themed):  # in this order: Textual takes the style sheet of the first
    """One that scrolls."""
