"""What is looked for in a log: words, an expression, or lines that speak of an error; found in bytes, line by line.

RE2 does the work: as many bytes a second as the disk gives, and in time that only depends on their number. What it
has no word for (a look behind, a reference back) is left to a slower library, which is given a limit of time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

import re2
import regex  # like re, but a match can be given a time-out, and other threads run meanwhile

from backend.errors import InvalidRequest

# The one definition of a line that speaks of an error. An indented line inside a traceback is none; the one behind
# it that names the exception is (see `ErrorLines`).
ERROR = (
    r"^[ \t]*(?:\S+[: \t][ \t]*){0,4}?[\[(<]?(?:ERROR|FATAL|CRITICAL|PANIC|panic|fatal)\b"
    r'|^\s*\{.*"(?:level|severity|levelname|lvl)"\s*:\s*"(?i:error|fatal|critical|panic|alert|emergency)"'
    r"|\b[A-Za-z]*(?:Error|Exception)\b[ \t]*[:(]|\berror:|\bError in |: (?:command )?not found"
    r"|^[\w.]*\b(?:exceptions?|errors?)\.\w+:"
    r"|No such file or directory|\bpanicked at\b|\bERR!"
    r"|^(?:\S.*)?(?:[^\s]|[^0\s] |\w0 )\bfailed\b|^failed\b"  # but not "0 failed"
)
TRACEBACK = b"Traceback (most recent call last)"


class Expression(Protocol):
    """Finds lines."""

    def lines(self, data: bytes, end: float) -> Iterator[int]:
        """Where in `data`, which begins with a line, each line begins that is meant.

        Raises TimeoutError if that is not known at `end`, by time.monotonic().
        """
        ...


class Linear:
    """An expression that takes time in proportion to what is looked through."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def lines(self, data: bytes, end: float) -> Iterator[int]:
        """See Expression."""
        at = 0
        while at < len(data) and (hit := self._compiled.search(data, at)) is not None:
            begin = data.rfind(b"\n", 0, hit.start()) + 1
            yield begin
            at = data.find(b"\n", max(hit.start(), begin)) + 1 or len(data)


class Backtracking:
    """An expression that may get nowhere: it is given a limit of time."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def lines(self, data: bytes, end: float) -> Iterator[int]:
        """See Expression."""
        at = 0
        while at < len(data):
            left = max(end - time.monotonic(), 0.01)
            hit = self._compiled.search(data, at, timeout=left, concurrent=True)
            if hit is None:
                return
            begin = data.rfind(b"\n", 0, hit.start()) + 1
            yield begin
            at = data.find(b"\n", max(hit.start(), begin)) + 1 or len(data)


class ErrorLines:
    """Lines that speak of an error; of a Python traceback the one that names the exception."""

    def __init__(self) -> None:
        self._error = Linear(_linear(ERROR, ignore_case=False))
        self._any = Linear(_linear(rf"Traceback \(most recent call last\)|{ERROR}", ignore_case=False))

    def lines(self, data: bytes, end: float) -> Iterator[int]:
        """See Expression."""
        passed = -1  # what lies before is the inside of a traceback that was told of
        for begin in self._any.lines(data, end):
            if begin <= passed:
                continue
            if TRACEBACK in data[begin : data.find(b"\n", begin) + 1 or len(data)]:
                begin = exception(data, begin)
                if begin < 0:
                    return
                passed = begin
            yield begin

    def matches(self, line: bytes) -> bool:
        """Whether a line, without its line break, speaks of an error, for all that it says itself."""
        return next(self._error.lines(line, 0.0), None) is not None


def exception(data: bytes, begin: int) -> int:
    """Where the line begins that names the exception of the traceback that begins at `begin`; -1 if it is not there."""
    at = begin
    while at := data.find(b"\n", at) + 1:
        line = data[at : at + 16]
        if line and line[:1] not in b" \t\r\n" and not data.startswith(TRACEBACK, at):
            return at
    return -1


def _linear(expression: str, *, ignore_case: bool) -> Any:
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    return re2.compile(f"(?m){expression}", options)


ERRORS = ErrorLines()


def pattern(text: str, *, is_regex: bool, ignore_case: bool) -> Expression:
    """What to look for, compiled. Raises InvalidRequest."""
    wanted = text if is_regex else regex.escape(text, special_only=True)
    try:
        return Linear(_linear(wanted, ignore_case=ignore_case))
    except re2.error:
        pass
    flags = regex.MULTILINE | (regex.IGNORECASE if ignore_case else 0)
    try:
        return Backtracking(regex.compile(wanted.encode(), flags))
    except regex.error as error:
        raise InvalidRequest(f"{text!r} is no regular expression: {error}") from error
