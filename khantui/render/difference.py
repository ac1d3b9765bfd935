"""How two versions of a pipeline differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import unified_diff

from khantui.render.status import paint
from khantui.render.text import visible

_KINDS = {"+": "succeeded", "-": "failed", "@": "info"}


def coloured(lines: Iterable[str], colour: bool) -> Iterator[str]:
    """A unified diff for a terminal."""
    return (paint(visible(line), _KINDS.get(line[:1], ""), colour) for line in lines)


def unified(old: str, new: str, old_name: str, new_name: str) -> list[str]:
    """A unified diff of two texts, without line ends."""
    return [
        line.rstrip("\n") for line in unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm="")
    ]


def pieces(lines: Iterable[str]) -> list[list[tuple[str, str]]]:
    """A unified diff as lines of (text, state) for a screen."""
    return [[(visible(line), _KINDS.get(line[:1], ""))] for line in lines]
