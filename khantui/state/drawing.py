"""A picture's pixels, out of content that anybody may have written: bounded in what it is let to take."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from khantui.api.client import Client
from khantui.api.peek import Stopped
from khantui.errors import Failure
from khantui.render.preview import Preview
from khantui.state.sample import Source

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 32 << 20  # bytes of a picture's file
PIXELS = 60_000_000  # that are decoded
SIDE = 1600  # pixels that are kept of the longer side: more than a terminal shows
_KINDS = ("PNG", "JPEG", "GIF", "WEBP")


def is_picture(shown: Preview) -> bool:
    """Whether what is previewed is a picture that can be drawn."""
    return shown.kind.endswith(" picture")


def fetch(client: Client, source: Source, stopped: Stopped) -> Image | None:
    """The picture, no larger than is needed; None if `stopped` said so. Raises Failure."""
    if source.length > LARGEST:
        raise Failure("it is too large to be drawn", "ctrl-s downloads it")
    content = bytearray()
    for part in client.artifact(source.run, source.artifact, source.path):
        content += part
        if stopped():
            return None
        if len(content) > LARGEST:
            raise Failure("it is too large to be drawn", "ctrl-s downloads it")
    return decoded(bytes(content))


def decoded(content: bytes) -> Image:
    """The pixels of a PNG, JPEG, GIF (the first frame), WebP or SVG. Raises Failure."""
    from PIL import Image

    try:
        if not content.startswith((b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"RIFF")):
            content = _drawn(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_KINDS) as picture:
                if picture.width * picture.height > PIXELS:
                    raise Failure(f"it has {picture.width:,} × {picture.height:,} pixels: too many to be drawn")
                picture.draft("RGB", (SIDE, SIDE))
                picture.thumbnail((SIDE, SIDE))
                return picture.convert("RGBA")
    except Failure:
        raise
    except Exception as error:  # whatever libraries make of a damaged file
        raise Failure("it cannot be drawn: the file is damaged, or of a kind that is not known") from error


def _drawn(content: bytes) -> bytes:
    """An SVG as PNG; text in it is drawn with the fonts of this machine. Raises ValueError."""
    from resvg_py import svg_to_bytes

    text, font = content.decode(errors="replace"), "DejaVu Sans"  # the font that most machines have
    drawn = svg_to_bytes(
        svg_string=text, width=SIDE, background="#ffffff", font_family=font, sans_serif_family=font, serif_family=font
    )
    return bytes(drawn)
