"""How two versions of a pipeline differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from khantui.render.status import paint
from khantui.render.text import visible

_KINDS = {"+": "succeeded", "-": "failed", "@": "info"}


def coloured(lines: Iterable[str], colour: bool) -> Iterator[str]:
    """A unified diff for a terminal."""
    return (paint(visible(line), _KINDS.get(line[:1], ""), colour) for line in lines)
