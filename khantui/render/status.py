"""States by symbol and colour: never by colour alone."""

from __future__ import annotations

from collections.abc import Mapping

SYMBOLS = {
    "queued": "◌",
    "waiting": "◌",
    "running": "●",
    "retrying": "↻",
    "succeeded": "✔",
    "reused": "✔",
    "failed": "✖",
    "cancelled": "■",
    "cancelling": "■",
    "paused": "‖",
    "skipped": "⊘",
}
COLOURS = {
    "running": "cyan",
    "retrying": "yellow",
    "succeeded": "green",
    "reused": "green",
    "failed": "red",
    "cancelled": "magenta",
    "cancelling": "magenta",
    "paused": "yellow",
    "skipped": "bright_black",
    "queued": "bright_black",
    "waiting": "bright_black",
    "error": "red",
    "warning": "yellow",
    "info": "cyan",
}
_CODES = {"red": 31, "green": 32, "yellow": 33, "magenta": 35, "cyan": 36, "bright_black": 90}
# in the order of a bar, from its left end
_BAR = (
    ("succeeded", "█"),
    ("reused", "█"),
    ("cancelled", "■"),
    ("failed", "✖"),
    ("retrying", "↻"),
    ("running", "▒"),
    ("skipped", "⊘"),
)


def paint(text: str, state: str, colour: bool) -> str:
    """`text` in the state's colour, if colours are wanted."""
    name = COLOURS.get(state)
    return f"\x1b[{_CODES[name]}m{text}\x1b[0m" if colour and name else text


def faint(text: str, colour: bool) -> str:
    """`text` that matters less."""
    return f"\x1b[2m{text}\x1b[0m" if colour and text else text


def symbol(state: str) -> str:
    """The state's symbol."""
    return SYMBOLS.get(state, "?")


def label(state: str, colour: bool) -> str:
    """Symbol and word."""
    return paint(f"{symbol(state)} {state}", state, colour)


def progress(counts: Mapping[str, int], *, colour: bool = False, columns: int = 8) -> str:
    """`███✖░ 3/5`: a bar of what the stages are in, and how many have ended of how many. `counts` has "total"."""
    return "".join(paint(text, state, colour) for text, state in progress_parts(counts, columns))


def progress_parts(counts: Mapping[str, int], columns: int = 8) -> tuple[tuple[str, str], ...]:
    """The same as pieces of text, each with the state whose colour it has.

    Wide runs are drawn in proportion; whatever there is one of, is seen.
    """
    total = counts.get("total", 0)
    if total <= 0:
        return (("–", ""),)
    cells = min(total, columns)
    shares = {state: max(1, counts[state] * cells // total) for state, _ in _BAR if counts.get(state)}
    while sum(shares.values()) > cells and (largest := max(shares, key=lambda s: shares[s])):
        shares[largest] -= 1
    used = sum(shares.values())
    ended = sum(counts.get(s, 0) for s in ("succeeded", "reused", "failed", "cancelled", "skipped"))
    bar = [(mark * shares[state], state) for state, mark in _BAR if shares.get(state)]
    rest = [("░" * (cells - used), "waiting")] if cells > used else []
    return (*bar, *rest, (f" {ended}/{total}", ""))
