"""What is about to be stored, against what is stored: the last look before it happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from khantui.render.difference import pieces
from khantui.render.text import visible
from khantui.screens.host import title
from khantui.widgets.paint import Palette


class Compare(ModalScreen[str | None]):
    """A diff, and a line for why: the message if it is to be stored, None if not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave it"),
        Binding("pagedown", "scroll(20)", show=False),
        Binding("pageup", "scroll(-20)", show=False),
        Binding("down", "scroll(1)", show=False),
        Binding("up", "scroll(-1)", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[str], more: str = "") -> None:
        super().__init__()
        self._asked, self._lines, self._more = title, lines, more

    def compose(self) -> ComposeResult:
        with Vertical(id="page") as page:
            page.border_title = title(self._asked)
            page.border_subtitle = "enter store it · ↑↓ scroll · esc leave it"
            with VerticalScroll(id="difference"):
                yield Static(markup=False)
            if self._more:
                yield Static(visible(self._more), markup=False)
            yield Input(placeholder="why (may be empty)", compact=True)

    def on_mount(self) -> None:
        palette, text = Palette(self.app), Text()
        for line in pieces(self._lines):
            for piece, role in line:
                text.append(piece + "\n", palette.state(role))
        if not self._lines:
            text.append("the document is unchanged\n", palette.faint)
        self.query_one(Static).update(text)
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_scroll(self, by: int) -> None:
        """Down or up."""
        self.query_one("#difference").scroll_relative(y=by, animate=False)

    def action_leave(self) -> None:
        """Leave it as it is."""
        self.dismiss(None)
