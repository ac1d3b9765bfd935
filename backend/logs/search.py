"""Searching a log where it is: piece by piece, within bounds of time and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import regex  # like re, but a match can be given a time-out, and other threads run meanwhile
from msgspec import Struct

from backend.errors import InvalidRequest
from backend.logs.reader import Line, LogReader


class Match(Struct, frozen=True):
    """A line that matches, and its neighbours."""

    line: Line
    before: tuple[Line, ...]
    after: tuple[Line, ...]


class Matches(Struct, frozen=True):
    """What was found; `next_line` is where to go on, None at the end."""

    matches: tuple[Match, ...]
    next_line: int | None


def pattern(text: str, *, is_regex: bool, ignore_case: bool) -> Any:
    """What to look for, compiled. Raises InvalidRequest."""
    flags = regex.MULTILINE | (regex.IGNORECASE if ignore_case else 0)
    try:
        return regex.compile((text if is_regex else regex.escape(text)).encode(), flags)
    except regex.error as error:
        raise InvalidRequest(f"{text!r} is no regular expression: {error}") from error


def search(
    reader: LogReader, wanted: Any, *, start: int = 1, limit: int = 100, context: int = 0, seconds: float = 5.0
) -> Matches:
    """The lines from `start` on that match, at most `limit`, for at most `seconds`.

    Raises InvalidRequest for an expression that gets nowhere in that time.
    """
    end = time.monotonic() + seconds
    found: list[Match] = []
    first = reader.lines(start, 1)
    if not first:
        return Matches((), None)
    number, at = first[0].number, first[0].offset
    for offset, data in reader.blocks(at, 1 << 62):
        try:
            for hit in _hits(wanted, data, end):
                line = number + data.count(b"\n", 0, hit)
                found.append(_match(reader, line, context))
                if len(found) >= limit:
                    return Matches(tuple(found), line + 1)
        except TimeoutError:
            if not found and number == first[0].number:
                raise InvalidRequest(
                    f"the expression needs more than {seconds:g} s for a small part of the log",
                    hint="a simpler one; nested repetitions such as (a+)+ are the usual reason",
                ) from None
            return Matches(tuple(found), number if not found else found[-1].line.number + 1)
        number += data.count(b"\n")
        del offset
        if time.monotonic() > end:
            return Matches(tuple(found), number)
    return Matches(tuple(found), None)


def _hits(wanted: Any, data: bytes, end: float) -> Iterator[int]:
    """Where in the data a line with a match begins; one for each line."""
    at = 0
    while at < len(data):
        hit = wanted.search(data, at, timeout=max(end - time.monotonic(), 0.01), concurrent=True)
        if hit is None:
            return
        begin = data.rfind(b"\n", 0, hit.start()) + 1
        yield begin
        behind = data.find(b"\n", max(hit.start(), begin))
        if behind < 0:
            return
        at = behind + 1


def _match(reader: LogReader, line: int, context: int) -> Match:
    first = max(line - context, 1)
    around = reader.lines(first, line + context - first + 1)
    return Match(
        next(li for li in around if li.number == line),
        tuple(li for li in around if li.number < line),
        tuple(li for li in around if li.number > line),
    )
