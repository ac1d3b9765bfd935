"""JSON with a memory: where each value and key stands, and what is wrong, in words; it goes on after a slip.

The standard library's reader stops at the first error, keeps the last of two equal keys, and forgets places. This one
goes on after what a person commonly gets wrong (a comma too many or too few, single quotes, comments).
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import Any

from backend.spec.finding import Finding, Position, Severity

DEEPEST = 40
LARGEST = 1 << 20  # characters

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_QUOTED = re.compile(r"'(?:[^'\\\n]|\\.)*'")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_NUMBERISH = re.compile(r"[+-]?\.?\d[\w.+-]*|[+-]Infinity")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_WORDS = {"true": True, "false": False, "null": None}
_ALMOST = {"True": True, "False": False, "None": None, "TRUE": True, "FALSE": False, "NULL": None}


def show(path: Path) -> str:
    """A JSON path as people write it: `$.stages.clean.run[0]`, `$.environment["A B"]`."""
    return "$" + "".join(map(_step, path))


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.fullmatch(part) else f"[{json.dumps(part, ensure_ascii=False)}]"


class Stop(Exception):
    """Nothing sensible can be read from here on."""


class Reader:
    """Reads one text. Afterwards: `value`, `findings`, and the places of values and keys."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.findings: list[Finding] = []
        self.values: dict[Path, int] = {}
        self.keys: dict[Path, int] = {}
        self._lines = [0, *(m.end() for m in re.finditer("\n", text))]
        self.value: Any = None
        self.whole = False  # whether a value was read to its end
        with contextlib.suppress(Stop):
            self._document()

    def position(self, offset: int) -> Position:
        """Line and column of an offset."""
        low, high = 0, len(self._lines)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._lines[middle] <= offset else (low, middle)
        mark = int(low == 0 and offset > 0 and self.text.startswith("\ufeff"))  # editors do not count it
        return Position(low + 1, offset - self._lines[low] + 1 - mark)

    def _report(self, offset: int, code: str, message: str, suggestion: str = "", path: Path = ()) -> None:
        place = self.position(min(offset, len(self.text)))
        self.findings.append(Finding(code, Severity.ERROR, show(path), place.line, place.column, message, suggestion))

    def _stop(self, offset: int, message: str, suggestion: str = "") -> Stop:
        self._report(offset, "syntax", message, suggestion)
        return Stop()

    def _document(self) -> None:
        if len(self.text) > LARGEST:
            raise self._stop(0, f"the document is larger than {LARGEST:,} characters", "put data and code into files")
        if self.text.startswith("\ufeff"):
            self.at = 1
        self._space()
        if self.at >= len(self.text):
            raise self._stop(0, "the document is empty", "khantui init makes one to begin with")
        self.value = self._value((), 0)
        self.whole = True
        self._space()
        if self.at < len(self.text):
            self._report(self.at, "syntax", "there is something behind the end of the document", "delete it")

    def _space(self) -> None:
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            comment = _COMMENT.match(self.text, self.at)
            if not comment:
                return
            self._report(self.at, "syntax", "JSON has no comments", 'use "description" fields instead')
            self.at = comment.end()

    def _value(self, path: Path, depth: int) -> Any:
        if depth > DEEPEST:
            raise self._stop(self.at, f"nested more than {DEEPEST} deep", "no field of a document is so deep")
        self.values[path] = self.at
        sign = self.text[self.at : self.at + 1]
        if sign == "{":
            return self._object(path, depth)
        if sign == "[":
            return self._array(path, depth)
        if sign in ('"', "'"):
            return self._string()
        if number := _NUMBERISH.match(self.text, self.at):
            self.at = number.end()
            return self._number(number.group(), number.start())
        return self._word(sign)

    def _number(self, digits: str, start: int) -> int | float:
        if not _NUMBER.fullmatch(digits):
            shown = digits if len(digits) <= 40 else digits[:40] + "…"
            self._report(start, "syntax", f"{shown} is no JSON number", f'if it is text, put it in quotes: "{shown}"')
            return 0
        value = (float if any(c in digits for c in ".eE") else int)(digits) if len(digits) <= 40 else math.inf
        if math.isinf(value):
            self._report(start, "syntax", "that number is too large or too long", "if it is text, put it in quotes")
            return 0
        return value

    def _word(self, sign: str) -> Any:
        word = _WORD.match(self.text, self.at)
        if word is None:
            if not sign:
                raise self._stop(self.at, "the text ends in the middle", "is the file whole?")
            raise self._stop(self.at, f"a value was expected, not {sign!r}", 'e.g. "text", 1, true, [ or {')
        start, text = self.at, word.group()
        self.at = word.end()
        if text in _WORDS:
            return _WORDS[text]
        if text in _ALMOST:
            right = json.dumps(_ALMOST[text])
            self._report(start, "syntax", f"JSON writes {right}, not {text}", f"write {right}")
            return _ALMOST[text]
        self._report(start, "syntax", f"{text} is no JSON value", f'if it is text, put it in quotes: "{text}"')
        return text

    def _string(self) -> str:
        start = self.at
        if self.text[start] == "'":
            quoted = _QUOTED.match(self.text, start)
            if not quoted:
                raise self._stop(start, "this text has no closing quote")
            self._report(start, "syntax", "JSON puts text in double quotes", f'"{quoted.group()[1:-1]}"'[:60])
            self.at = quoted.end()
            return quoted.group()[1:-1]
        found = _STRING.match(self.text, start)
        if not found:
            raise self._stop(start, "this text has no closing quote, or a line break or control character in it",
                             "write \\n for a line break")  # fmt: skip
        self.at = found.end()
        try:
            text = json.loads(found.group())
            text.encode()
        except (ValueError, UnicodeEncodeError):
            self._report(start, "syntax", "this text has a backslash sequence that JSON does not know",
                         "a single backslash is written \\\\")  # fmt: skip
            return ""
        return str(text)

    def _object(self, path: Path, depth: int) -> dict[str, Any]:
        start, found = self.at, dict[str, Any]()
        self.at += 1
        while self._more("}", start, "object"):
            at = self.at
            if self.text[at] in "\"'":
                key = self._string()
            elif word := _WORD.match(self.text, at):
                key, self.at = word.group(), word.end()
                self._report(at, "syntax", f"the key {key} must be in quotes", f'"{key}"')
            else:
                raise self._stop(at, f"a key in quotes was expected, not {self.text[at]!r}", '"key": value')
            self._space()
            if self.text[self.at : self.at + 1] not in (":", "="):
                raise self._stop(self.at, f'":" was expected after the key "{key}"', f'"{key}": value')
            if self.text[self.at] == "=":
                self._report(self.at, "syntax", 'JSON writes ":" between key and value', f'"{key}": value')
            self.at += 1
            self._space()
            here = (*path, key)
            if key in found:
                first = self.position(self.keys[here])
                self._report(at, "duplicate-key", f'"{key}" is here twice; the first is in line {first.line}',
                             "delete or rename one", here)  # fmt: skip
                self._value((*path, key, "\0again"), depth + 1)
            else:
                self.keys[here] = at
                found[key] = self._value(here, depth + 1)
            self._comma("}")
        return found

    def _array(self, path: Path, depth: int) -> list[Any]:
        start, found = self.at, list[Any]()
        self.at += 1
        while self._more("]", start, "list"):
            found.append(self._value((*path, len(found)), depth + 1))
            self._comma("]")
        return found

    def _more(self, close: str, start: int, what: str) -> bool:
        """Whether another member follows; steps over the closing sign if not."""
        self._space()
        sign = self.text[self.at : self.at + 1]
        if not sign:
            line = self.position(start).line
            raise self._stop(self.at, f'the {what} that begins in line {line} has no closing "{close}"', "add it")
        if sign == close:
            self.at += 1
        return sign != close

    def _comma(self, close: str) -> None:
        """After a member: a comma, unless the closing sign comes."""
        end = self.at
        self._space()
        sign = self.text[self.at : self.at + 1]
        if sign == ",":
            comma = self.at
            self.at += 1
            self._space()
            if self.text[self.at : self.at + 1] == close:
                self._report(comma, "syntax", f'a comma before "{close}" is one too many', "delete it")
        elif sign and sign != close:
            if sign in "}]":
                raise self._stop(self.at, f'"{close}" was expected, not "{sign}"', "brackets close in pairs")
            self._report(end, "syntax", "a comma is missing here", "add it")
