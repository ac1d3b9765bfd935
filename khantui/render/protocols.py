"""How a terminal can be made to show a picture: found out from its environment, without asking it. Pure.

A question on the terminal itself would have to be answered before the interface reads keys, and would keep everybody
waiting for whom no picture is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Protocol = Literal["kitty", "sixel", "blocks", "words"]
VARIABLE = "KHANTUI_PICTURES"
_KITTY = ("xterm-kitty", "xterm-ghostty")
_SIXEL = ("foot", "mlterm", "contour", "yaft", "wezterm", "rio")
_SIXEL_PROGRAMS = frozenset(("WezTerm", "iTerm.app", "mintty", "rio"))


def protocol(environment: Mapping[str, str]) -> Protocol:
    """What to use: graphics where the terminal is known for them, else half cells in colours, else words."""
    for known in ("kitty", "sixel", "blocks", "words"):
        if environment.get(VARIABLE, "").lower() == known:
            return known
    terminal = environment.get("TERM", "")
    if terminal in ("dumb", "linux", "") or environment.get("NO_COLOR"):
        return "words" if "TEXTUAL_DRIVER" not in environment else "blocks"
    # between us and the terminal: what passes on characters alone
    if any(environment.get(name) for name in ("TMUX", "STY", "ZELLIJ", "TEXTUAL_DRIVER")) or terminal.startswith(
        ("screen", "tmux")
    ):
        return "blocks"
    if environment.get("KITTY_WINDOW_ID") or terminal in _KITTY:
        return "kitty"
    if terminal.startswith(_SIXEL) or environment.get("TERM_PROGRAM") in _SIXEL_PROGRAMS:
        return "sixel"
    return "blocks"
