"""One thing that a form asks for: its label, where to write it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Label, Select, SelectionList, Static, TextArea

from khantui.render.text import visible

Kind = Literal["line", "text", "choice", "many"]


class Asked(NamedTuple):
    """A field: which one, how it is asked, what it holds, what may be chosen."""

    key: str
    label: str
    kind: Kind
    value: str | list[str]
    choices: Sequence[tuple[str, str]] = ()  # (what is shown, the value)
    hint: str = ""
    rows: int = 6  # of a text


class Field(Vertical):
    """A label, an editor, and a line for what is wrong."""

    class Edited(Message):
        """The value is another one."""

        def __init__(self, key: str, value: str | list[str]) -> None:
            self.key, self.value = key, value
            super().__init__()

    def __init__(self, asked: Asked) -> None:
        super().__init__(classes="field")
        self.asked = asked

    def compose(self) -> ComposeResult:
        asked = self.asked
        yield Label(visible(asked.label), markup=False, classes="label")
        if asked.kind == "line":
            yield Input(str(asked.value), placeholder=asked.hint, compact=True)
        elif asked.kind == "text":
            area = TextArea(str(asked.value), compact=True, tab_behavior="focus", show_line_numbers=False)
            area.styles.height = min(20, max(asked.rows, str(asked.value).count("\n") + 1))
            yield area
        elif asked.kind == "choice":
            known = [value for _, value in asked.choices]
            extra = [] if asked.value in known or not asked.value else [(str(asked.value), str(asked.value))]
            options = [(Content(visible(shown)), value) for shown, value in [*asked.choices, *extra]]  # never markup
            yield Select(options, value=str(asked.value) if asked.value else Select.NULL, compact=True)
        else:
            chosen = set(asked.value)
            choices = [(marked(shown, value in chosen), value, value in chosen) for shown, value in asked.choices]
            listed = SelectionList[str](*choices, compact=True)
            listed.styles.height = max(1, min(8, len(choices)))
            yield listed
        if asked.hint and asked.kind != "line":
            yield Static(visible(asked.hint), markup=False, classes="hint")
        yield Static("", markup=False, classes="wrong")

    def tell(self, wrong: str, severity: str = "error") -> None:
        """What is wrong with it; nothing takes no line."""
        line = self.query_one(".wrong", Static)
        line.update("\n".join(visible(part) for part in wrong.split("\n")))
        line.set_class(severity == "warning", "warning")
        line.display = bool(wrong)

    def put(self, value: str) -> None:
        """Hold another text, which was not typed."""
        self.asked = self.asked._replace(value=value)
        self.query_one(TextArea).load_text(value)

    def on_mount(self) -> None:
        self.tell("")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._edited(event.value)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._edited(event.text_area.text)

    def on_select_changed(self, event: Select.Changed) -> None:
        event.stop()
        self._edited("" if event.value is Select.NULL else str(event.value))

    def on_selection_list_selected_changed(self, event: SelectionList.SelectedChanged[str]) -> None:
        event.stop()
        chosen = list(event.selection_list.selected)
        for index, (shown, value) in enumerate(self.asked.choices):
            event.selection_list.replace_option_prompt_at_index(index, marked(shown, value in chosen))
        self._edited(chosen)

    def _edited(self, value: str | list[str]) -> None:
        before = self.asked.value
        same = set(value) == set(before) if isinstance(value, list) else value == before
        if not same:
            self.asked = self.asked._replace(value=value)
            self.post_message(self.Edited(self.asked.key, value))


def marked(shown: str, chosen: bool) -> str:
    """A choice with a mark: Textual's own is told by its colour alone."""
    return f"{'✔' if chosen else '·'} {visible(shown)}"
