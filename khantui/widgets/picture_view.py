"""A picture, as large as there is room for it, by whatever the terminal understands."""

from __future__ import annotations

import fcntl
import importlib
import io
import struct
import sys
import termios
from typing import TYPE_CHECKING, Any

from textual.containers import Center, Middle
from textual.widget import Widget

from khantui.render.protocols import Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

_CELL = (10, 20)  # pixels of a cell where the terminal does not say


class PictureView(Middle, can_focus=True):
    """Shows one picture at a time."""

    DEFAULT_CSS = """
    PictureView { height: 1fr; }
    PictureView Center { height: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._picture: Image | None = None
        self._protocol: Protocol = "blocks"

    async def show(self, picture: Image | None, protocol: Protocol) -> None:
        """Show this one; None for nothing."""
        self._picture, self._protocol = picture, protocol
        await self.remove_children()
        if picture is not None and self.size.width and self.size.height:
            await self.mount(Center(self._drawn(picture)))

    async def on_resize(self) -> None:
        await self.show(self._picture, self._protocol)

    def _drawn(self, picture: Image) -> Widget:
        widgets, (across, down) = _library()
        kind = {"kitty": widgets.TGPImage, "sixel": widgets.SixelImage}.get(self._protocol, widgets.HalfcellImage)
        drawn: Widget = kind(_on_ground(picture, self.background_colors[1].rgb))
        scale = min(self.size.width * across / picture.width, self.size.height * down / picture.height)
        drawn.styles.width = max(1, round(picture.width * scale / across))
        drawn.styles.height = max(1, round(picture.height * scale / down))
        return drawn


def _on_ground(picture: Image, ground: tuple[int, int, int]) -> Image:
    """What is transparent shows the theme's background."""
    from PIL import Image

    below = Image.new("RGBA", picture.size, (*ground, 255))
    below.alpha_composite(picture)
    return below.convert("RGB")


def _library() -> tuple[Any, tuple[int, int]]:
    """textual-image's widgets, and the pixels of a cell across and down.

    When it is loaded it asks the terminal, and reads the answer as if it were keys that are typed: that must not
    happen while the interface reads them, so there is no terminal for it meanwhile.
    """
    output = sys.__stdout__
    cell = _cell()
    try:
        vars(sys)["__stdout__"] = io.StringIO()
        widgets = importlib.import_module("textual_image.widget")
        terminal = importlib.import_module("textual_image._terminal")
    finally:
        vars(sys)["__stdout__"] = output
    terminal.get_cell_size._result = terminal.CellSize(*cell)
    return widgets, cell


def _cell() -> tuple[int, int]:
    try:
        answer = fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8))
        rows, columns, across, down = struct.unpack("HHHH", answer)
    except OSError:
        return _CELL
    return (across // columns, down // rows) if columns and rows and across and down else _CELL
