"""Questions: whether to do something, and with what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, OptionList, Select, Static
from textual.widgets.option_list import Option

from backend.api.wire import StartRun
from khantui.errors import Misuse
from khantui.render.text import visible
from khantui.screens.form import WHY, Form
from khantui.screens.host import Host, title
from khantui.state.filling import FRESH
from khantui.state.when import moment_or_span


class Confirm(ModalScreen[bool]):
    """Whether to do what is named. `no` has the focus, unless it is harmless: what cannot be undone is asked so.

    What changes something of the daemon's may be given a reason, for the journal.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n,q", "answer(False)", "no"),
        Binding("y", "answer(True)", "yes"),
        Binding("w", "why", "say why", show=False),
        Binding("left,right,h,l", "other", show=False),
    ]

    def __init__(
        self, question: str, details: str = "", *, yes: str = "yes", harmless: bool = False, local: bool = False
    ) -> None:
        """`local`: it is nothing that the daemon is asked to do."""
        super().__init__()
        self._question, self._details, self._yes, self._harmless = question, details, yes, harmless
        self._local = local
        self.because = ""

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Label(visible(self._question), markup=False, classes="question")
            if self._details:
                yield Static("\n".join(map(visible, self._details.split("\n"))), markup=False)
            if not self._local:
                yield Input(placeholder=f"why? (w)  {WHY}", id="why", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("no  (n)", id="no", compact=True)
                yield Button(
                    f"{self._yes}  (y)", id="yes", variant="primary" if self._harmless else "error", compact=True
                )

    def on_mount(self) -> None:
        self._to_button()

    def _to_button(self) -> None:
        self.query_one("#yes" if self._harmless else "#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.action_answer(event.button.id == "yes")

    def on_input_submitted(self) -> None:
        self._to_button()

    def action_answer(self, yes: bool) -> None:
        """Answer by key."""
        if not self._local:
            self.because = self.query_one("#why", Input).value.strip()
        self.dismiss(yes)

    def action_why(self) -> None:
        """To the line for the reason."""
        for line in self.query("#why"):
            line.focus()

    def action_other(self) -> None:
        """To the other button."""
        self.focus_next(Button)


class Choice(ModalScreen[str | None]):
    """One of several things; None if it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "leave"),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
    ]

    def __init__(self, title: str, choices: Sequence[tuple[str, str, str]]) -> None:
        """`choices`: (value, what it is called, what is to be known about it)."""
        super().__init__()
        self._asked, self._choices = title, choices

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = title(self._asked)
            dialog.border_subtitle = "enter · esc"
            options = [
                Option(Text.assemble(visible(name), (f"  {visible(about)}" if about else "", "dim")), id=value)
                for value, name, about in self._choices
            ]
            yield OptionList(*options, compact=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option.id)

    def action_move(self, by: int) -> None:
        """Down or up."""
        options = self.query_one(OptionList)
        options.action_cursor_down() if by > 0 else options.action_cursor_up()

    def action_leave(self) -> None:
        """Without an answer."""
        self.dismiss(None)


class Line(ModalScreen[str | None]):
    """One line of text; None if it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave")]

    def __init__(self, title: str, value: str = "", placeholder: str = "") -> None:
        super().__init__()
        self._asked, self._value, self._placeholder = title, value, placeholder

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = title(self._asked)
            dialog.border_subtitle = "enter · esc"
            yield Input(self._value, placeholder=self._placeholder, compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_leave(self) -> None:
        """Without an answer."""
        self.dismiss(None)


class Pause(Form[tuple[str, datetime | None] | None]):
    """Why a schedule is to stand still, and until when; None if it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave"),
        Binding("ctrl+s,f2", "pause", "pause", priority=True),
    ]

    def __init__(self, title: str, zone: str) -> None:
        super().__init__()
        self._asked, self._zone = title, zone

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = title(self._asked)
            dialog.border_subtitle = "enter pause · tab next field · esc leave it"
            yield Label("why?")
            yield Input(placeholder="for those who wonder; may be empty", id="why", compact=True)
            yield Label(f"until ({visible(self._zone)})", markup=False)
            yield Input(placeholder="2026-12-01, 2026-12-01T06:00, 2h; empty: until resumed", id="until", compact=True)
            yield Static("", id="wrong", markup=False)

    def on_input_submitted(self) -> None:
        self.action_pause()

    def action_pause(self) -> None:
        """Pause it so, if what was written can be understood."""
        try:
            written = self.query_one("#until", Input).value.strip()
            until = moment_or_span(written, self._zone, cast(Host, self.app).moment)
        except Misuse as misuse:
            wrong = self.query_one("#wrong", Static)
            wrong.update(visible(" → ".join(filter(None, (misuse.message, misuse.hint)))))
            wrong.display = True
            return
        self.dismiss((self.query_one("#why", Input).value.strip(), until))

    def action_leave(self) -> None:
        """Leave it."""
        self.dismiss(None)


class Trigger(Form[StartRun | None]):
    """With which parameters and for which date a pipeline is to run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave"),
        Binding("ctrl+s,f2", "start", "start"),
    ]

    def __init__(self, pipeline: str, parameters: dict[str, dict[str, object]], said: str = "") -> None:
        super().__init__()
        self._pipeline = pipeline
        self._parameters = parameters
        self._notice = said
        self.because = ""

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = title(f"start {self._pipeline}")
            dialog.border_subtitle = "enter start · esc leave it"
            if self._notice:
                yield Static(visible(self._notice), markup=False, classes="faint")
            yield Label("date")
            yield Input(placeholder="now; or 2026-11-23, 2026-11-23T06:00", id="date", compact=True)
            for number, (name, declared) in enumerate(self._parameters.items()):
                yield Label(visible(name), markup=False)
                yield self._field(f"p{number}", declared)
            yield Label("earlier results")
            yield Select(FRESH, value="", allow_blank=False, id="fresh", compact=True)
            yield Label("why?")
            yield Input(placeholder=WHY, id="why", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("start", id="start", variant="primary", compact=True)
                yield Button("leave it", id="leave", compact=True)

    def _field(self, identifier: str, declared: dict[str, object]) -> Input | Select[str]:
        default = str(declared["default"]) if "default" in declared else ""
        choices = declared.get("choices")
        if isinstance(choices, list) and choices:
            texts = [str(choice) for choice in choices]
            value = default if default in texts else texts[0]
            options = [(Content(visible(text)), text) for text in texts]  # never markup
            return Select(options, value=value, allow_blank=False, id=identifier, compact=True)
        return Input(default, placeholder="required" if "default" not in declared else "", id=identifier, compact=True)

    def on_mount(self) -> None:
        self.query_one("#p0" if self._parameters else "#date").focus()

    def on_input_submitted(self) -> None:
        self.action_start()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "start":
            self.action_start()
        else:
            self.dismiss(None)

    def action_start(self) -> None:
        """Start it so."""
        parameters = {}
        for number, name in enumerate(self._parameters):
            field = self.query_one(f"#p{number}")
            assert isinstance(field, (Input, Select))
            parameters[name] = str(field.value)
        self.because = self.query_one("#why", Input).value.strip()
        date, fresh = self.query_one("#date", Input).value.strip(), self.query_one("#fresh", Select)
        self.dismiss(StartRun(parameters=parameters, date=date, fresh=bool(fresh.value)))

    def action_leave(self) -> None:
        """Leave it."""
        self.dismiss(None)
