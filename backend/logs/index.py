"""A sparse index of a log: for some offsets, the number of the line that begins there and when it was written.

Records of 24 bytes (offset, line, microseconds since 1970), appended to a file beside the log. A torn last record is
ignored; a missing or senseless index is made anew from the log, then without times but its last.
"""

from __future__ import annotations

import bisect
import errno
import os
import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

_RECORD = struct.Struct("<qqq")
EVERY = 64 << 10  # bytes between two records at most


class Readable(Protocol):
    """Anything with bytes at offsets."""

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        ...


class Mark(NamedTuple):
    """At `offset` begins line `line` (from 0); what lies before was written by `micros`."""

    offset: int
    line: int
    micros: int


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return int(moment.timestamp() * 1_000_000)


def moment(since: int) -> datetime | None:
    """The moment, in UTC; None for 0, which is 'unknown'."""
    return datetime.fromtimestamp(since / 1_000_000, UTC) if since else None


class IndexFile:
    """The file that marks are appended to. What a full disk has no room for waits, and is lost at worst."""

    def __init__(self, path: Path, marks: int) -> None:
        """`marks`: how many of those that are in it make sense; what is behind them is written over."""
        self._path = path
        self._end = marks * _RECORD.size
        self._waiting = b""
        self._file = -1

    def append(self, marks: Iterable[Mark]) -> None:
        """Write them down, as far as there is room. Whole records only ever follow one another."""
        self._waiting += b"".join(map(pack, marks))
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            written = os.pwrite(self._file, self._waiting, self._end)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return
        self._end += written
        self._waiting = self._waiting[written:]

    def close(self) -> None:
        """Let go of it."""
        if self._file >= 0:
            os.close(self._file)


def load(path: Path, size: int) -> list[Mark]:
    """The marks in an index file, as far as they make sense for a log of that size; the first is always the start."""
    marks = [Mark(0, 0, 0)]
    try:
        data = path.read_bytes()
    except OSError:
        return marks
    offset = line = 0
    for mark in unpack(data):
        if not offset <= mark.offset <= size or mark.line < line:
            break
        offset, line, _ = mark
        marks.append(mark)
    return marks


def pack(mark: Mark) -> bytes:
    """A record."""
    return _RECORD.pack(*mark)


def unpack(data: bytes) -> list[Mark]:
    """Records, one after another."""
    return list(map(Mark._make, _RECORD.iter_unpack(data[: len(data) // _RECORD.size * _RECORD.size])))


class Counter:
    """Counts lines as a log grows, and makes marks: one behind the last line break of each 64 KiB, or of each look."""

    def __init__(self, marks: list[Mark]) -> None:
        self.marks = marks
        self.scanned = marks[-1].offset
        self.lines = marks[-1].line  # line breaks before `scanned`

    def extend(self, source: Readable, end: int, at: int) -> list[Mark]:
        """Look at what is new up to `end`, found at `at` (microseconds): the marks made of it."""
        made: list[Mark] = []
        while self.scanned < end:
            data = source.read(self.scanned, min(EVERY, end - self.scanned))
            if not data:
                break
            self.lines += data.count(b"\n")
            newline = data.rfind(b"\n")
            if newline >= 0:
                made.append(Mark(self.scanned + newline + 1, self.lines, at))
            self.scanned += len(data)
        self.marks += made
        return made


def before_line(marks: list[Mark], line: int) -> Mark:
    """The last mark at or before a line."""
    return marks[bisect.bisect_right(marks, line, key=lambda m: m.line) - 1]


def before_offset(marks: list[Mark], offset: int) -> Mark:
    """The last mark at or before an offset."""
    return marks[bisect.bisect_right(marks, offset, key=lambda m: m.offset) - 1]


def time_at(marks: list[Mark], offset: int) -> datetime | None:
    """About when what lies at `offset` was written: by the first mark behind it."""
    index = bisect.bisect_right(marks, offset, key=lambda m: m.offset)
    return moment(marks[index].micros if index < len(marks) else marks[-1].micros)
