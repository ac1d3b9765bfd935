"""What the graph and the time line of a run have in common: stages of which one is selected."""

from __future__ import annotations

from textual.message import Message
from textual.reactive import reactive

from khantui.widgets.painted import Painted


class StagePicture(Painted, can_focus=True):
    """Stages with a cursor. `selected` is the name of the one that it is at."""

    selected: reactive[str] = reactive("")

    class Opened(Message):
        """Enter, or a click on the stage that the cursor is at."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

    class Selected(Message):
        """The cursor was moved to another stage."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, StagePicture.Selected)
