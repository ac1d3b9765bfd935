"""A text to read: a description, a document, JSON."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from khantui.screens.host import title, visible_lines
from khantui.widgets.paint import Palette


class TextPage(ModalScreen[None]):
    """The whole text, with colours where it is of a known kind."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "close"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
        Binding("g", "edge(False)", show=False),
        Binding("G", "edge(True)", show=False),
        Binding("c", "copy", "copy"),
    ]

    def __init__(self, title: str, text: str | list[list[tuple[str, str]]], kind: str = "") -> None:
        super().__init__()
        self._head, self._text, self._kind = title, text, kind

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="page") as page:
            page.border_title = title(self._head)
            page.border_subtitle = "c copy · esc close"
            yield Static(self._shown(), markup=False)

    def _shown(self) -> Text:
        if isinstance(self._text, list):
            palette, text = Palette(self.app), Text()
            for pieces in self._text:
                for piece, role in pieces:
                    text.append(piece, palette.state(role))
                text.append("\n")
            return text
        safe = visible_lines(self._text)
        if self._kind:
            from rich.syntax import Syntax  # and Pygments with it, which takes a while

            theme = "ansi_dark" if self.app.current_theme.dark else "ansi_light"
            return Syntax("", self._kind, theme=theme, background_color="default").highlight(safe)
        return Text(safe)

    def on_mount(self) -> None:
        self.query_one("#page").focus()

    def action_scroll(self, by: int) -> None:
        """Down or up."""
        self.query_one("#page").scroll_relative(y=by, animate=False)

    def action_edge(self, last: bool) -> None:
        """To the end or the beginning."""
        page = self.query_one("#page")
        page.scroll_end(animate=False) if last else page.scroll_home(animate=False)

    def action_copy(self) -> None:
        """Put it on the clipboard."""
        self.app.copy_to_clipboard(self._text if isinstance(self._text, str) else self._shown().plain)
        self.notify("copied", markup=False)
