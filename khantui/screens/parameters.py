"""The parameters of a pipeline, one a line, as its current version declares them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from textual import work
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from khantui.errors import Failure
from khantui.screens.host import Host
from khantui.screens.timing_fields import row


class ParameterFields(Vertical):
    """A field for each; what is set of others is kept."""

    class Changed(Message):
        """The values are others."""

        def __init__(self, values: Mapping[str, str]) -> None:
            self.values = values
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._declared: dict[str, dict[str, object]] = {}
        self._values: Mapping[str, str] = {}

    @work(group="declared", exclusive=True)
    async def declare(self, pipeline: str, values: Mapping[str, str]) -> None:
        """Ask for the parameters of a pipeline, and show a field for each, with its value."""
        self._values, link = values, cast(Host, self.app).link
        try:
            view = await link.ask(lambda c: c.pipeline(pipeline))
            version = await link.ask(lambda c: c.version(pipeline, view.version))
            document = json.loads(version.document) if isinstance(version.document, str) else {}
        except (Failure, ValueError):
            return  # those that are set are kept; what is wrong is said where the daemon is asked for it
        self._declared = document.get("parameters", {})
        await self.remove_children()
        await self.mount_all([self._field(i, name) for i, name in enumerate(self._declared)])

    def _field(self, number: int, name: str) -> Widget:
        declared, value = self._declared[name], self._values.get(name, "")
        default = str(declared["default"]) if "default" in declared else ""
        choices = declared.get("choices")
        hint = f"{default or 'empty'}, unless said otherwise" if "default" in declared else "required"
        if isinstance(choices, list):
            hint += f"; one of {', '.join(map(str, choices))}"
        return row(name, Input(value, placeholder=hint, id=f"p{number}", compact=True))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        name = list(self._declared)[int((event.input.id or "p")[1:])]
        self._values = {**self._values, name: event.value}
        self.post_message(self.Changed(self._values))
