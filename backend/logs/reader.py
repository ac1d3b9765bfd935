"""Reading a log: lines by number, its end, since a time, raw bytes, a search. Never the whole of it."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from backend.logs.expression import ERRORS, TRACEBACK, Expression
from backend.logs.index import before_line, before_offset, micros, moment, time_at
from backend.logs.source import Source

LONGEST = 64 << 10  # bytes of a line that are shown
STEP = 256 << 10
BLOCK = 1 << 20  # bytes that are looked through at once


class Line(Struct, frozen=True):
    """A line: its number (from 1), where it begins, its text without the line break, about when it was written."""

    number: int
    offset: int
    text: str
    time: datetime | None
    length: int  # bytes, without the line break; the text is cut at 64 KiB
    error: bool = False  # it speaks of an error


class LogInfo(Struct, frozen=True):
    """How large a log is, and whether it has ended."""

    lines: int
    bytes: int
    complete: bool
    archived: bool
    first_time: datetime | None
    last_time: datetime | None


class LogReader:
    """One log. Close it when done (it is a context manager)."""

    def __init__(self, source: Source, *, complete: bool) -> None:
        self.source = source
        self.complete = complete or source.archived

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self.source.close()

    def first_error(self) -> int | None:
        """The number of the first line that speaks of an error, as far as it is known; a small log is looked through.

        A log that has just ended may not have been looked at to its end by whoever indexes those that grow.
        """
        known, size = self.source.first_error, self.source.size
        if known is None and self.complete and not self.source.archived and size <= BLOCK:
            known, _ = self.find_error(0, size)
        return known

    def info(self) -> LogInfo:
        """Its size; a last line without a line break counts."""
        size, marks = self.source.size, self.source.marks
        known = [m.micros for m in marks if m.micros]
        return LogInfo(
            lines=self.count(),
            bytes=size,
            complete=self.complete,
            archived=self.source.archived,
            first_time=moment(known[0]) if known else None,
            last_time=moment(known[-1]) if known else None,
        )

    def count(self) -> int:
        """How many lines there are; a last one without a line break counts."""
        size = self.source.size
        lines = self.source.lines()
        return lines + (1 if size and self.source.read(size - 1, 1) != b"\n" else 0)

    def raw(self, offset: int, size: int) -> bytes:
        """Raw bytes."""
        return self.source.read(max(offset, 0), max(size, 0))

    def lines(self, start: int, count: int, *, whole: bool = False) -> list[Line]:
        """At most `count` lines from number `start` (from 1). `whole` leaves out a last line that has no end yet."""
        self.source.lines()  # so that the marks reach to the end
        first = max(start, 1)
        mark = before_line(self.source.marks, first - 1)
        return self._lines(mark.offset, mark.line + 1, first, count, whole)

    def tail(self, count: int) -> list[Line]:
        """The last `count` lines."""
        return self.lines(max(self.count() - count, 0) + 1, count)

    def since(self, time: datetime) -> int:
        """The number of the first line that was written at or after a time, as far as is known."""
        self.source.lines()
        marks = self.source.marks
        wanted = micros(time)
        index = bisect.bisect_left(marks, wanted, key=lambda m: m.micros)
        if index >= len(marks):
            return self.count() + 1
        return marks[max(index - 1, 0)].line + 1

    def number_at(self, offset: int) -> int:
        """The number of the line that `offset` lies in."""
        self.source.lines()
        mark = before_offset(self.source.marks, offset)
        return self.numbers(mark.offset, mark.line + 1, [offset])[0]

    def find_error(self, begin: int, end: int) -> tuple[int | None, int]:
        """The number of the first line that speaks of an error, and where to look on if there is none.

        It is looked for from the offset `begin` to `end`, where lines begin. Of a growing log, a traceback that has not
        come to its exception yet is to be looked at again.
        """
        while begin < end:
            data = next((data for _, data in self.blocks(begin, end - begin)), b"")
            for hit in ERRORS.lines(data, 0.0):
                return self.number_at(begin + hit), begin
            unfinished = data.rfind(b"\n", 0, max(data.rfind(TRACEBACK), 0)) + 1 if TRACEBACK in data else len(data)
            if not data or begin + len(data) == end:
                return None, end if self.complete else begin + unfinished
            begin += unfinished or len(data)
        return None, begin

    def hits(self, wanted: Expression, offset: int, stop: int, end: float) -> Iterator[int]:
        """Where lines begin that are meant, from `offset`, where one begins, up to `stop`; see Expression.lines."""
        last = -1
        for begin, data in self.blocks(offset, stop - offset):
            for hit in wanted.lines(data, end):
                if begin + hit > last:
                    last = begin + hit
                    yield last

    def numbers(self, begin: int, first: int, hits: Iterable[int]) -> list[int]:
        """The numbers of the lines that begin at `hits`, in order, where line `first` begins at `begin`."""
        found, line, at = list[int](), first, begin
        for hit in hits:
            while at < hit:
                data = self.source.read(at, min(STEP, hit - at))
                line += data.count(b"\n")
                at += len(data) or STEP
            found.append(line)
        return found

    def line_start(self, offset: int) -> int:
        """Where the line begins that `offset` lies in."""
        while offset > 0:
            begin = max(offset - STEP, 0)
            newline = self.source.read(begin, offset - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            offset = begin
        return 0

    def blocks(self, offset: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """Pieces of about 1 MiB that end with a line, or with the log; a longer line is cut."""
        end = min(self.source.size, offset + limit)
        while offset < end:
            data = self.source.read(offset, min(BLOCK, end - offset))
            if not data:
                return
            cut = data.rfind(b"\n") + 1
            if cut and offset + len(data) < end:
                data = data[:cut]
            yield offset, data
            offset += len(data)

    def _lines(self, offset: int, number: int, first: int, count: int, whole: bool) -> list[Line]:
        found: list[Line] = []
        tracing = False  # inside a traceback
        start, length, kept = offset, 0, bytearray()
        while len(found) < count:
            data = self.source.read(offset, STEP)
            if not data:
                break
            begin, heads = 0, tracing or TRACEBACK in data
            while len(found) < count and (newline := data.find(b"\n", begin)) >= 0:
                if number >= first:
                    kept += data[begin : min(newline, begin + LONGEST - len(kept) + 1)]
                    found.append(self._line(number, start, bytes(kept), length + newline - begin, tracing))
                if heads:
                    head = bytes(kept[:400]) or data[begin : min(newline, begin + 400)]
                    tracing = TRACEBACK in head or (tracing and head[:1] in b" \t\r")
                number, begin, start, length = number + 1, newline + 1, offset + newline + 1, 0
                kept.clear()
            if len(found) < count:
                length += len(data) - begin
                kept += data[begin : begin + max(LONGEST - len(kept) + 1, 0)]
            offset += len(data)
        if length and len(found) < count and number >= first and (self.complete or not whole):
            found.append(self._line(number, start, bytes(kept), length, tracing))
        return found

    def _line(self, number: int, offset: int, data: bytes, length: int, tracing: bool) -> Line:
        data = data.removesuffix(b"\r")
        if b"\r" in data:  # a progress bar: what it showed last
            data = data[data.rindex(b"\r") + 1 :] or data
        text = data[:LONGEST].decode("utf-8", "backslashreplace")
        inside = TRACEBACK in data[:400] or (tracing and data[:1] in b" \t")
        error = not inside and (tracing or ERRORS.matches(data))
        return Line(number, offset, text, time_at(self.source.marks, offset), length, error)
