"""Searching a log where it is: piece by piece, within bounds of time and memory."""

from __future__ import annotations

import time

from msgspec import Struct

from backend.errors import InvalidRequest
from backend.logs.expression import Expression
from backend.logs.reader import BLOCK, Line, LogReader


class Match(Struct, frozen=True):
    """A line that matches, and its neighbours."""

    line: Line
    before: tuple[Line, ...]
    after: tuple[Line, ...]


class Matches(Struct, frozen=True):
    """What was found; `next_line` is where to go on, None at the end."""

    matches: tuple[Match, ...]
    next_line: int | None


def search(
    reader: LogReader, wanted: Expression, *, start: int = 1, limit: int = 100, context: int = 0, seconds: float = 5.0
) -> Matches:
    """The lines from `start` on that match, at most `limit`, for at most `seconds`.

    Raises InvalidRequest for an expression that gets nowhere in that time.
    """
    end = time.monotonic() + seconds
    found: list[Match] = []
    first = reader.lines(start, 1)
    if not first:
        return Matches((), None)
    begun = offset = first[0].offset
    last = 0
    for offset, data in reader.blocks(begun, 1 << 62):
        counted = line = 0  # lines are counted where there are matches; elsewhere the index knows better
        try:
            for hit in wanted.lines(data, end):
                line = line + data.count(b"\n", counted, hit) if line else reader.number_at(offset + hit)
                counted = hit
                if line > last:  # and not the rest of a line that is longer than a block
                    last = line
                    found.append(match(reader, line, context))
                if len(found) >= limit:
                    return Matches(tuple(found), line + 1)
        except TimeoutError:
            if not found and offset == begun:
                raise nowhere(seconds) from None
            return Matches(tuple(found), max(reader.number_at(offset), last + 1))
        if time.monotonic() > end and offset + len(data) < reader.source.size:
            return Matches(tuple(found), max(reader.number_at(offset + len(data)), last + 1))
    return Matches(tuple(found), None)


def search_back(
    reader: LogReader, wanted: Expression, *, before: int, limit: int = 100, context: int = 0, seconds: float = 5.0
) -> Matches:
    """Like `search`, from the line before `before` back to the first: the nearest first. `next_line` is a `before`."""
    end = time.monotonic() + seconds
    found: list[Match] = []
    at = reader.lines(before, 1)
    number = begun = at[0].number if at else reader.count() + 1
    stop = at[0].offset if at else reader.source.size
    while stop > 0:
        begin = reader.line_start(max(stop - BLOCK, 0))
        try:
            hits = list(reader.hits(wanted, begin, stop, end))
        except TimeoutError:
            if not found and number == begun:
                raise nowhere(seconds) from None
            return Matches(tuple(found), number)
        first = reader.number_at(begin)
        for line in reversed(reader.numbers(begin, first, hits)):
            found.append(match(reader, line, context))
            if len(found) >= limit:
                return Matches(tuple(found), line)
        number, stop = first, begin
        if time.monotonic() > end:
            return Matches(tuple(found), number if stop else None)
    return Matches(tuple(found), None)


def nowhere(seconds: float) -> InvalidRequest:
    """The error for an expression that needs too long."""
    return InvalidRequest(
        f"the expression needs more than {seconds:g} s for a small part of the log",
        hint="a simpler one; nested repetitions such as (a+)+ are the usual reason",
    )


def match(reader: LogReader, line: int, context: int) -> Match:
    """A line with its neighbours."""
    first = max(line - context, 1)
    around = reader.lines(first, line + context - first + 1)
    return Match(
        next(li for li in around if li.number == line),
        tuple(li for li in around if li.number < line),
        tuple(li for li in around if li.number > line),
    )
