"""The line at the bottom that `:` and `/` open: commands with ghost text, filters and searches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

Kind = Literal["command", "filter", "search"]

MOST = 100  # lines remembered


class Prompt(Input):
    """Hidden until it is opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False),
        Binding("up", "recall(-1)", "older", show=False),
        Binding("down", "recall(1)", "newer", show=False),
        Binding("tab", "accept", "accept", show=False),
    ]

    class Said(Message):
        """Enter was pressed."""

        def __init__(self, kind: Kind, text: str) -> None:
            self.kind, self.text = kind, text
            super().__init__()

    class Left(Message):
        """It was left without a word."""

        def __init__(self, kind: Kind) -> None:
            self.kind = kind
            super().__init__()

    class Typed(Message):
        """The text has changed."""

        def __init__(self, kind: Kind, text: str) -> None:
            self.kind, self.text = kind, text
            super().__init__()

    def __init__(self, complete: Callable[[Kind, str], Iterable[str]]) -> None:
        super().__init__(id="prompt", compact=True, select_on_focus=False, suggester=_Ghost(self, complete))
        self.kind: Kind = "command"
        self._said: dict[str, list[str]] = {}
        self._place = 0
        self.display = False

    def open(self, kind: Kind, text: str = "") -> None:
        """Ask for a line."""
        self.kind = kind
        self.border_title = ""
        self.placeholder = {
            "command": "runs, pipelines, schedules, run NAME, pulse, help …",
            "filter": "words, !not, state=failed pipeline~learn age<2h took>10m -l team=analytics",
            "search": "what to look for; a regular expression",
        }[kind]
        self.value = text
        self._place = len(self._said.setdefault(kind, []))
        self.display = True
        self.cursor_position = len(text)
        self.screen.set_focus(self)  # at once, not when there is time

    def close(self) -> None:
        """Be gone."""
        self.display = False
        self.value = ""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        said = self._said.setdefault(self.kind, [])
        if event.value and event.value not in said[-1:]:
            said.append(event.value)
            del said[:-MOST]
        kind, text = self.kind, event.value
        self.close()
        self.post_message(self.Said(kind, text))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.display:
            self.post_message(self.Typed(self.kind, event.value))

    def action_leave(self) -> None:
        """Close without a word."""
        self.close()
        self.post_message(self.Left(self.kind))

    def action_recall(self, by: int) -> None:
        """An earlier line, or a later one."""
        said = self._said.get(self.kind, [])
        self._place = max(0, min(len(said), self._place + by))
        self.value = said[self._place] if self._place < len(said) else ""
        self.cursor_position = len(self.value)

    def action_accept(self) -> None:
        """Take the ghost text."""
        self.action_cursor_right()


class _Ghost(Suggester):
    def __init__(self, prompt: Prompt, complete: Callable[[Kind, str], Iterable[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._prompt = prompt
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        return next((c for c in self._complete(self._prompt.kind, value) if c.startswith(value) and c != value), None)
