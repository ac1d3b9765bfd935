"""Where the copy of a container's log stands, and what of a new answer of the kubelet is new. Pure.

The kubelet answers with `STAMP content` lines, in the order of its file. It can be asked for what was written since a
whole second, and gives only the newest of its files: once one has reached a size it begins another ("rotation").
Stamps are almost in order: what a program writes to stdout and stderr is stamped by two hands, and clocks are set.

A position therefore names the last line that is had and, so that it is found again whatever stamps say, how many lines
were had since a second shortly before it, and the stamp of the first of them: where an answer's lines since then begin
with that stamp they begin where they did before, and so many of them are known. Any other answer comes from another
file: then everything up to the last line's stamp is known; and if that is not in it, something may be lost, which is
said.
"""

from __future__ import annotations

import re
import struct
import zlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

MARGIN = 2  # seconds by which stamps may be out of order
MARK = 250_000_000  # nanoseconds between two stamps that are worth being told apart
_STAMP = 40  # bytes that a stamp and its space have at most
_FORM = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_SECOND = 1_000_000_000
_RECORD = struct.Struct("<q?qqqqqqq")  # how often written; then the position's fields
_SUM = struct.Struct("<I")
SLOT = 128  # bytes of one of the two slots that are written in turn
WHOLE = -1


class Position(NamedTuple):
    """How far the copy of one container's log has come. Times are nanoseconds since 1970."""

    part: int = 0  # which of the attempt's containers, from 1; 0: none yet
    whole: bool = False  # there is no more to come of it
    size: int = 0  # bytes of the copy that this speaks of
    since: int = 0  # seconds since 1970, from which on lines are counted
    had: int = 0  # lines stamped since then that are in the copy; -1: not known
    first: int = 0  # the stamp of the first of them
    last: int = 0  # the stamp of the last one; 0: there is none yet
    newest: int = 0  # the newest stamp of all
    open: int = WHOLE  # bytes of the last one's content that are had, if its end is not

    @property
    def asked(self) -> int:
        """The second to ask from: a little earlier, so that of no line that counts a piece is left out."""
        return max(self.since - MARGIN, 0)


class Files(NamedTuple):
    """What a sidecar file of two slots holds: the newest position that is in it whole, and how often it was written."""

    position: Position
    writes: int


def pack(position: Position, writes: int) -> bytes:
    """A slot: a position and its checksum."""
    part, whole, *numbers = position
    record = _RECORD.pack(writes << 8 | part, whole, *numbers)
    return (record + _SUM.pack(zlib.crc32(record))).ljust(SLOT, b"\0")


def unpack(data: bytes) -> Files:
    """The newest position in a sidecar's bytes; the very beginning if there is none."""
    found = Files(Position(), 0)
    for at in range(0, len(data) - SLOT + 1, SLOT):
        record = data[at : at + _RECORD.size]
        if data[at + _RECORD.size : at + _RECORD.size + _SUM.size] != _SUM.pack(zlib.crc32(record)):
            continue
        head, whole, *numbers = _RECORD.unpack(record)
        if head >> 8 > found.writes:
            found = Files(Position(head & 0xFF, whole, *numbers), head >> 8)
    return found


class Second(NamedTuple):
    """The lines begun in one second: how many, and the first of them."""

    lines: int
    order: int
    stamp: int


class Answer:
    """Takes one answer of the kubelet, in pieces, and gives what the copy does not have yet.

    `position` is what holds as soon as what `feed` gave last is in the copy.
    """

    def __init__(self, position: Position) -> None:
        """The answer must be to the question `position.asked`."""
        self.position = position
        self.trouble = ""  # what the kubelet said that is no line of the log
        self._lines = 0  # begun in this answer
        self._counted = 0  # of those, since the second from which on they count
        self._known = position
        self.marks: list[tuple[int, int]] = []  # sizes of the copy, and when it had them: for whoever indexes it
        self.seeking = position.last > 0  # it has not come past what is had
        self._counting = False  # the answer begins where it did before
        self._head = b""  # the beginning of a line, up to its stamp's end
        self._size = position.size
        self._marked = position.newest
        self._within = False
        self._copying = False
        self._drop = 0  # bytes of the line that are had already
        self._seconds: dict[int, Second] = {}
        self._complete = position.since  # every line since then has been counted

    def feed(self, data: bytes) -> bytes:
        """The part of `data` that is new, without stamps."""
        self.marks = []
        data, self._head = self._head + data, b""
        new: list[bytes] = []
        at = 0
        while at < len(data):
            if not self._within:
                content = self._start(data, at, new)
                if content < 0:
                    self._head = data[at:]
                    break
                at = content
            newline = data.find(b"\n", at)
            end = len(data) if newline < 0 else newline + 1
            if self._copying:
                self._copy(data[at:end], newline >= 0, new)
            self._within = newline < 0
            at = end
        self.position = self.position._replace(size=self._size)
        return b"".join(new)

    def _start(self, data: bytes, at: int, new: list[bytes]) -> int:
        """Begin the line at `at`: where its content begins; -1 if more must be there to tell."""
        space = data.find(b" ", at, at + _STAMP)
        if space < 0 and len(data) - at < _STAMP and data.find(b"\n", at) < 0:
            return -1
        stamp = nanoseconds(data[at:space]) if space >= 0 else None
        self._within = True
        if stamp is None:
            # the rest of a line that began before the second we asked for; or words of the kubelet itself
            self._copying = False
            if self._lines or not self._known.asked:
                self.trouble = data[at : at + 300].split(b"\n")[0].decode("utf-8", "replace")
            return at
        self._meet(stamp, new)
        return space + 1

    def _meet(self, stamp: int, new: list[bytes]) -> None:
        """A line of that stamp begins: is it new?"""
        self._lines += 1
        known = self._known
        if not self.seeking or stamp // _SECOND >= known.since:
            self._counted += 1
            if self._counted == 1:
                self._counting = known.had > 0 and stamp == known.first
            self._count(stamp)
        if not self.seeking:
            self._begin(stamp)
        elif self._counting:
            self._copying = False
            if self._counted == known.had:
                self._reach(known)
        elif stamp == known.last:
            self._reach(known)
        elif stamp > known.newest:
            self.seeking = False
            self._add(self._gap(stamp), new)
            self._begin(stamp)
        else:
            self._copying = False

    def _reach(self, known: Position) -> None:
        """This is the last line that is had, or a part of it."""
        self.seeking = False
        self._copying = known.open != WHOLE
        self._drop = max(known.open, 0)

    def _begin(self, stamp: int) -> None:
        """A new line: from now on it is the last."""
        self._copying, self._drop = True, 0
        if stamp >= self._marked + MARK:
            if self.position.newest:
                self.marks.append((self._size, self.position.newest))
            self._marked = stamp
        newest = max(self.position.newest, stamp)
        since, had, first = self._window(stamp, newest)
        self.position = self.position._replace(since=since, had=had, first=first, last=stamp, newest=newest, open=0)

    def _copy(self, piece: bytes, ended: bool, new: list[bytes]) -> None:
        dropped = min(self._drop, len(piece))
        self._drop -= dropped
        self._add(piece[dropped:], new)
        had = WHOLE if ended else max(self.position.open, 0) + len(piece) - dropped
        self.position = self.position._replace(open=had)

    def _add(self, piece: bytes, new: list[bytes]) -> None:
        new.append(piece)
        self._size += len(piece)

    def _count(self, stamp: int) -> None:
        second = stamp // _SECOND
        found = self._seconds.get(second) or Second(0, self._counted, stamp)
        self._seconds[second] = found._replace(lines=found.lines + 1)

    def _window(self, stamp: int, newest: int) -> tuple[int, int, int]:
        """From which second to ask next time, how many lines are had of it, and the first one's stamp."""
        since = self.position.since
        if stamp // _SECOND < since:  # the clock was set back: nothing is known of the lines before
            self._complete = max(self._complete, since)
            since = max(stamp // _SECOND - MARGIN, 0)
        wanted = min(newest, stamp) // _SECOND - MARGIN
        if wanted > since and wanted >= self._complete:
            since = wanted
            for second in [s for s in self._seconds if s < since]:
                del self._seconds[second]
        if since < self._complete:
            return since, -1, 0
        first = min(self._seconds.values(), key=lambda s: s.order).stamp
        return since, sum(s.lines for s in self._seconds.values()), first

    def _gap(self, stamp: int) -> bytes:
        begin = b"" if self.position.open == WHOLE else b"\n"
        return begin + note(
            f"lines may be missing here, from {_words(self._known.last)} to {_words(stamp)}: "
            "the node had put that part of the log aside before it was read"
        )


def note(text: str) -> bytes:
    """A line in a log that is Khantui's own."""
    return f"[khantui] {text}\n".encode()


def nanoseconds(stamp: bytes) -> int | None:
    """A stamp of the kubelet, in nanoseconds since 1970; None for anything else."""
    found = _FORM.fullmatch(stamp)
    if found is None:
        return None
    second = _second(found[1] + found[3])
    return None if second is None else second * _SECOND + int((found[2] or b"0").ljust(9, b"0"))


@lru_cache(maxsize=64)
def _second(text: bytes) -> int | None:
    try:
        return int(datetime.fromisoformat(text.decode()).timestamp())
    except ValueError:
        return None


def _words(stamp: int) -> str:
    return datetime.fromtimestamp(stamp // _SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
