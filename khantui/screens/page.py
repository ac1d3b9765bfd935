"""Lines on the whole screen: a preview, a document, a difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from khantui.render.protocols import Protocol
from khantui.render.text import visible
from khantui.widgets.line_view import Line, LineView
from khantui.widgets.picture_view import PictureView

if TYPE_CHECKING:
    from PIL.Image import Image


class LinesPage(ModalScreen[None]):
    """Lines of any number and length, to scroll in both directions."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,v", "dismiss", "close"),
        Binding("c", "copy", "copy"),
    ]

    def __init__(self, title: str, lines: Sequence[Line], *, head: Line = (), numbered: bool = False) -> None:
        super().__init__()
        self._asked, self._shown, self._top, self._numbered = title, lines, head, numbered

    def compose(self) -> ComposeResult:
        with Vertical(id="page", classes="whole") as page:
            page.border_title = Content(visible(self._asked))
            page.border_subtitle = "←→ sideways · c copy · esc close"
            yield LineView(id="lines")

    def on_mount(self) -> None:
        view = self.query_one("#lines", LineView)
        view.show(self._shown, head=self._top, numbered=self._numbered)
        view.focus()

    def action_copy(self) -> None:
        """Put it on the clipboard."""
        self.app.copy_to_clipboard(self.query_one("#lines", LineView).text)
        self.notify("copied", markup=False)


class PicturePage(ModalScreen[None]):
    """A picture on the whole screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,v", "dismiss", "close")]

    def __init__(self, title: str, picture: Image, protocol: Protocol) -> None:
        super().__init__()
        self._asked, self._picture, self._protocol = title, picture, protocol

    def compose(self) -> ComposeResult:
        with Vertical(id="page", classes="whole") as page:
            page.border_title = Content(visible(self._asked))
            page.border_subtitle = "esc close"
            yield PictureView(id="whole-picture")

    async def on_mount(self) -> None:
        view = self.query_one("#whole-picture", PictureView)
        view.focus()
        await view.show(self._picture, self._protocol)
