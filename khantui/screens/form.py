"""What questions with several fields have in common."""

from __future__ import annotations

from typing import ClassVar, TypeVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Select, Static

from khantui.api.http import BECAUSE
from khantui.errors import Failure
from khantui.render.text import visible
from khantui.screens.host import Host, title

T = TypeVar("T")
WHY = "for the journal; may be empty"


class Form(ModalScreen[T]):
    """Tab goes on before what is typed behind it is looked at: otherwise it may land in the field before."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "next field", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "field before", show=False, priority=True),
    ]


class Storing(Form[T | None]):
    """Fields for something that the daemon is to keep. It stays open until that is stored; None if it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave it"),
        Binding("ctrl+s,f2", "store", "store", priority=True),
    ]

    def __init__(self, head: str) -> None:
        super().__init__()
        self._head = head

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog", classes="storing") as dialog:
            dialog.border_title = title(self._head)
            dialog.border_subtitle = "enter store it · tab next field · esc leave it"
            with VerticalScroll(can_focus=False, classes="asked"):
                yield from self.fields()
                yield Label("why?")
                yield Input(placeholder=WHY, id="why", compact=True)
            yield Static("", id="wrong", markup=False)

    def fields(self) -> ComposeResult:
        """Labels, and where to write."""
        raise NotImplementedError

    async def stored(self) -> T:
        """Have the daemon store it: what this is dismissed with. Raises Failure."""
        raise NotImplementedError

    def text(self, name: str) -> str:
        """What was written into a field."""
        return self.query_one(f"#{name}", Input).value.strip()

    def chosen(self, name: str) -> str:
        """What was chosen in a field."""
        return str(self.query_one(f"#{name}", Select).value)

    def on_input_submitted(self) -> None:
        self.action_store()

    @work(group="store", exclusive=True)
    async def action_store(self) -> None:
        """Store it, and be gone; what the daemon refuses is said, and everything stays as it is."""
        BECAUSE.set(self.text("why"))
        try:
            self.dismiss(await self.stored())
        except Failure as failure:
            wrong = self.query_one("#wrong", Static)
            wrong.update(visible(" → ".join(filter(None, (failure.message, failure.hint)))))
            wrong.display = True

    def action_leave(self) -> None:
        """Without storing it."""
        self.dismiss(None)
