"""Which keys do what; filters as one types."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

ALWAYS = [
    (": runs, pipelines, schedules, pulse, run NAME …", "go somewhere; → takes the ghost text"),
    ("/ words, !not, state=failed pipeline~learn age<2h", "narrow a list; they add up"),
]


class Help(ModalScreen[None]):
    """The keys of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "close"),
        Binding("down", "scroll(1)", show=False),
        Binding("up", "scroll(-1)", show=False),
    ]

    def __init__(self, keys: list[tuple[str, str]], title: str) -> None:
        super().__init__()
        self._keys = keys
        self._title = title

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = f"keys · {self._title.lower()}"
            dialog.border_subtitle = "type to filter · esc close"
            yield Input(placeholder="filter", compact=True)
            with VerticalScroll():
                yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        self._show("")

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.value == "?":  # the key that opened it closes it; a line to type in leaves no letter to bindings
            self.dismiss(None)
        else:
            self._show(event.value)

    def _show(self, wanted: str) -> None:
        rows = [*self._keys, *ALWAYS]
        text = Text()
        for key, what in rows:
            if wanted.lower() in f"{key} {what}".lower():
                text.append(f"{key:<12} ", "bold").append(f"{what}\n")
        self.query_one("#keys", Static).update(text)

    def action_scroll(self, by: int) -> None:
        """Down or up."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)
