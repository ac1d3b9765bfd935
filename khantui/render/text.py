"""Text that somebody else wrote, made safe and measured for a terminal."""

from __future__ import annotations

import re
import unicodedata

# anything that moves the cursor, hides text or turns its direction round
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
# what joins or changes the signs beside it, so that no two terminals agree how wide they are together
_JOINING = re.compile(
    "[\u00ad\u034f\u061c\u115f-\u11ff\u17b4\u17b5\u180b-\u180f\u200c\u200d\u3164\ufe00-\ufe0f\uffa0"
    "\ufff9-\ufffb\U0001f3fb-\U0001f3ff\U000e0000-\U000e0fff]"
)
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")  # a flag is two of them, and letters say the same
MOST_STACKED = 2  # marks over one letter: more climb out of their line
_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI …
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM and APC strings
    r"|\x1b[ -/]*[0-~]"
)


def _show(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def visible(text: str) -> str:
    """`text` on one line, with each control character as a picture of itself, and each sign for itself."""
    return _CONTROL.sub(_show, text if text.isascii() else _apart(text))


def _apart(text: str) -> str:
    """`text` of signs that take the same columns on every terminal: none joined, none stacked high."""
    text = _FLAG.sub(lambda match: chr(ord(match.group()) - 0x1F1E6 + ord("A")), _JOINING.sub("", text))
    kept: list[str] = []
    stacked = MOST_STACKED  # at the beginning there is nothing that a mark could stand on
    for character in unicodedata.normalize("NFC", text):
        stacked = stacked + 1 if unicodedata.combining(character) else 0
        if unicodedata.category(character) == "Cn":  # nobody knows how wide it is
            kept.append(f"\\u{ord(character):04x}")
        elif stacked <= MOST_STACKED:
            kept.append(character)
    return "".join(kept)


def colours_only(text: str) -> str:
    """`text` with colours kept, every other control sequence dropped and stray control characters shown.

    Tabs stay. Ends with a reset if it set a colour, so that one line cannot paint the next.
    """
    parts: list[str] = []
    end = 0
    for match in _SGR.finditer(text):
        parts += (_plain(text[end : match.start()]), match.group())
        end = match.end()
    parts.append(_plain(text[end:]))
    return "".join(parts) + ("\x1b[0m" if end else "")


def plain(text: str) -> str:
    """`text` without any control sequence, and with stray control characters shown; tabs stay."""
    return _plain(text)


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    cleaned = _ESCAPE.sub("", text).rstrip("\r\n")
    if "\r" in cleaned:  # a progress bar that overwrote itself: what a terminal would have ended on
        cleaned = cleaned.rsplit("\r", 1)[-1]
    return "\t".join(visible(part) for part in cleaned.split("\t"))


def width(text: str) -> int:
    """How many columns `text` takes on a terminal; colours take none."""
    if "\x1b" in text:
        text = _SGR.sub("", text)
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Mc"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def crop(text: str, columns: int) -> str:
    """`text` in at most `columns` columns, with an ellipsis where it was cut."""
    if width(text) <= columns:
        return text
    if columns <= 0:
        return ""
    kept, used = "", 0
    for character in text:
        used += _cells(character)
        if used > columns - 1:
            break
        kept += character
    return kept + "…"


def pad(text: str, columns: int, right: bool = False) -> str:
    """`text` filled up with spaces to `columns` columns."""
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space
