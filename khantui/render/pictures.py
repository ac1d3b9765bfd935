"""What a picture's first bytes say of it: its kind and its size in pixels. Nothing is decoded."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from khantui.render.text import visible

_SVG = re.compile(
    r"(?:\s|<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE svg[^>]*>)*+"  # what may stand before the picture
    r"<svg(?=[\s>])([^>]*)>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""\b(width|height|viewBox)\s*=\s*["']([^"']{1,80})["']""")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers that begin a frame
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # those without a length


class Picture(NamedTuple):
    """`size` in words, and empty where the beginning does not say it."""

    kind: str
    size: str


def picture(data: bytes) -> Picture | None:
    """The picture that begins with `data`; None if it is none that is known."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Picture("PNG", _pixels(">II", data[16:24]))
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return Picture("GIF", _pixels("<HH", data[6:10]))
    if data.startswith(b"\xff\xd8\xff"):
        return Picture("JPEG", _jpeg(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Picture("WebP", "")
    return None


def vector(text: str) -> Picture | None:
    """The SVG picture that a text is; None if it is something else."""
    found = _SVG.match(text[:20_000])
    if found is None:
        return None
    said = {name: visible(value) for name, value in _ATTRIBUTE.findall(found.group(1))}
    if "width" in said and "height" in said:
        return Picture("SVG", f"{said['width']} × {said['height']}")
    box = said.get("viewBox", "").replace(",", " ").split()
    return Picture("SVG", f"{box[2]} × {box[3]}" if len(box) == 4 else "")


def _pixels(form: str, data: bytes) -> str:
    if len(data) < struct.calcsize(form):
        return ""
    across, down = struct.unpack(form, data)
    return f"{across:,} × {down:,} pixels"


def _jpeg(data: bytes) -> str:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            down, across = struct.unpack(">HH", data[at + 5 : at + 9])
            return f"{across:,} × {down:,} pixels"
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return ""
