"""Reading and searching several logs as one, in the order of time; each is opened only while it is read."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from backend.errors import DamagedLog, NotFound
from backend.logs.expression import Expression
from backend.logs.index import micros
from backend.logs.merge import Merge, Outline, Segment
from backend.logs.reader import BLOCK, Line, LogReader
from backend.logs.search import Match, match, nowhere

MOST_KEPT = 32  # merged logs that are remembered
MOST_HELD = 400_000  # segments of all of them together


class LogKey(NamedTuple):
    """Names a log."""

    run: str
    stage: str
    number: int


class MergedLine(Struct, frozen=True):
    """A line of one of the logs, and its number in all of them together."""

    number: int
    key: LogKey
    line: Line


class MergedMatch(Struct, frozen=True):
    """A match, with the neighbours that it has in its own log."""

    number: int
    key: LogKey
    match: Match


class MergedMatches(Struct, frozen=True):
    """What was found; `next_number` is where to go on, None at the end. `bytes` were looked through.

    `damaged` says which logs could not be.
    """

    matches: tuple[MergedMatch, ...]
    next_number: int | None
    bytes: int
    damaged: tuple[str, ...]


_NOTHING = Outline(0, 0, True, True, ())  # of an attempt that never wrote
_DAMAGED = Outline(0, 1, True, True, ())  # one line, which says so

OpenLog = Callable[[LogKey], LogReader]
OutlineOf = Callable[[LogKey], Outline | None]


class MergedLog:
    """Some logs of one run. `update` takes in what they have gained; numbers that were told stay what they are."""

    def __init__(self, open_log: OpenLog, outline: OutlineOf, at_once: int = 1) -> None:
        """Outlines are asked for `at_once` at a time."""
        self._open = open_log
        self._outline = outline
        self._at_once = at_once
        self._merge = Merge()
        self.keys: list[LogKey] = []
        self._places: dict[LogKey, int] = {}
        self._outlines: list[Outline | None] = []
        self._lock = threading.Lock()

    def update(self, keys: Mapping[LogKey, bool]) -> None:
        """Look at what there is of these logs; True: nothing more will come. Those that were there are kept."""
        with self._lock:
            self._update(keys)

    def _update(self, keys: Mapping[LogKey, bool]) -> None:
        for key in keys:
            if key not in self._places:
                self._places[key] = len(self.keys)
                self.keys.append(key)
                self._outlines.append(None)
        wanted = [place for place, held in enumerate(self._outlines) if held is None or not held.complete]
        fresh = self._look([self.keys[place] for place in wanted])
        for place, outline in zip(wanted, fresh, strict=True):
            over = _NOTHING if keys.get(self.keys[place]) else self._outlines[place]
            self._outlines[place] = outline or over
        self._merge.extend(self._outlines)
        for place in wanted:
            held = self._outlines[place]
            if held is not None and held.complete:  # their marks are in the merge now
                self._outlines[place] = replace(held, marks=())

    def _look(self, keys: Sequence[LogKey]) -> list[Outline | None]:
        many = min(self._at_once, len(keys))
        if many <= 1:
            return [self._outlined(key) for key in keys]
        with ThreadPoolExecutor(many) as pool:
            return list(pool.map(self._outlined, keys))

    def _outlined(self, key: LogKey) -> Outline | None:
        try:
            return self._outline(key)
        except DamagedLog:
            return _DAMAGED

    @property
    def total(self) -> int:
        """How many lines there are."""
        return self._merge.total

    @property
    def weight(self) -> int:
        """What it takes to hold it."""
        return len(self._merge.segments) + len(self.keys)

    @property
    def bytes(self) -> int:
        """How large they are together."""
        return sum(o.bytes for o in self._outlines if o is not None)

    @property
    def complete(self) -> bool:
        """Whether nothing more will come to those that are known."""
        return all(o is not None and o.complete for o in self._outlines)

    @property
    def archived(self) -> bool:
        """Whether all of them are archived."""
        return all(o is not None and o.archived for o in self._outlines)

    @property
    def first_error(self) -> int | None:
        """The number of the first line known to speak of an error."""
        known = enumerate(self._outlines)
        return min((self._merge.number_of(p, o.first_error) for p, o in known if o and o.first_error), default=None)

    def since(self, moment: datetime) -> int:
        """The number of the first line that was written at or after a time, as far as is known."""
        return self._merge.since(micros(moment))

    def number_of(self, key: LogKey, line: int) -> int:
        """The number that a line of one of the logs has in all of them."""
        return self._merge.number_of(self._places[key], line)

    def lines(self, start: int, count: int) -> list[MergedLine]:
        """At most `count` lines from number `start` (from 1)."""
        spans = self._merge.spans(start, count)
        wanted: dict[int, tuple[int, int]] = {}  # part -> its first line and how many: they follow one another
        for span in spans:
            first, many = wanted.get(span.part, (span.line, 0))
            wanted[span.part] = (min(first, span.line), many + span.lines)
        held: dict[int, dict[int, Line]] = {}
        for part, (first, many) in wanted.items():
            try:
                with self._reader(part) as reader:
                    held[part] = {line.number: line for line in reader.lines(first, many)}
            except DamagedLog as error:
                held[part] = {number: _said(number, error) for number in range(first, first + many)}
        found: list[MergedLine] = []
        for span in spans:
            key, lines = self.keys[span.part], held[span.part]
            for step in range(span.lines):
                line = lines.get(span.line + step)
                if line is not None:
                    found.append(MergedLine(span.number + step, key, line))
        return found

    def search(
        self, wanted: Expression, *, start: int, limit: int, context: int, seconds: float, back: bool = False
    ) -> MergedMatches:
        """The lines from number `start` on that match; or, `back`, those before it, the nearest first.

        Raises InvalidRequest for an expression that gets nowhere in that time.
        """
        end = time.monotonic() + seconds
        found: list[MergedMatch] = []
        damaged: dict[str, None] = {}
        looked, at = 0, start
        for window in self._windows(start, back):
            try:
                hits = self._hits(window, wanted, end, damaged)
            except TimeoutError:
                if at == start:
                    raise nowhere(seconds) from None
                return MergedMatches(tuple(found), at, looked, tuple(damaged))
            looked += sum(s.bytes for s in window)
            chosen = sorted((h for h in hits if (h[0] < start if back else h[0] >= start)), reverse=back)
            taken = chosen[: limit - len(found)]
            found += self._matches(taken, context)
            if len(found) >= limit:
                following = taken[-1][0] + (0 if back else 1) if taken else start
                return MergedMatches(tuple(found), following, looked, tuple(damaged))
            first, last = window[0], window[-1]
            edge = first.line + 1 if back else last.line + last.lines
            at = self._merge.number_of(first.part if back else last.part, edge) + (0 if back else 1)
            if time.monotonic() > end:
                break
        else:
            return MergedMatches(tuple(found), None, looked, tuple(damaged))
        over = at <= 1 if back else at > self.total
        return MergedMatches(tuple(found), None if over else at, looked, tuple(damaged))

    def _windows(self, start: int, back: bool) -> Iterator[list[Segment]]:
        """Segments that follow one another, about BLOCK bytes of them at a time, from where a line is."""
        segments = self._merge.segments
        total = len(segments)
        at = self._merge.place(start) if start <= self.total else total
        order = range(min(at, total - 1), -1, -1) if back else range(at, total)
        window: list[Segment] = []
        size = 0
        for place in order:
            window.append(segments[place])
            size += segments[place].bytes
            if size >= BLOCK:
                yield window[::-1] if back else window
                window, size = [], 0
        if window:
            yield window[::-1] if back else window

    def _hits(
        self, window: list[Segment], wanted: Expression, end: float, damaged: dict[str, None]
    ) -> list[tuple[int, int, int]]:
        """Lines of a window that match, as (merged number, part, its own line). What a part has there is one piece.

        What is to be said of damaged logs is put into `damaged`.
        """
        pieces: dict[int, tuple[int, int, int]] = {}  # part -> its first line, offset, and the end
        for segment in window:
            line, begin, _ = pieces.get(segment.part, (segment.line, segment.offset, 0))
            pieces[segment.part] = (line, begin, segment.offset + segment.bytes)
        found: list[tuple[int, int, int]] = []
        for part, (line, begin, stop) in pieces.items():
            try:
                with self._reader(part) as reader:
                    hits = list(reader.hits(wanted, begin, stop, end))
                    numbers = dict.fromkeys(reader.numbers(begin, line + 1, hits))
            except DamagedLog as error:
                damaged[str(error)] = None
                continue
            found += [(self._merge.number_of(part, number), part, number) for number in numbers]
        return found

    def _matches(self, hits: list[tuple[int, int, int]], context: int) -> Iterator[MergedMatch]:
        readers: dict[int, LogReader] = {}
        try:
            for number, part, line in hits:
                if part not in readers:
                    while len(readers) >= 16:
                        readers.pop(next(iter(readers))).close()
                    readers[part] = self._reader(part)
                try:
                    matched = match(readers[part], line, context)
                except DamagedLog as error:  # around what was found
                    matched = Match(_said(line, error), (), ())
                yield MergedMatch(number, self.keys[part], matched)
        finally:
            for reader in readers.values():
                reader.close()

    def _reader(self, part: int) -> LogReader:
        """Raises NotFound."""
        return self._open(self.keys[part])


class MergedLogs:
    """Those that were asked for lately, by name."""

    def __init__(self, open_log: OpenLog, outline: OutlineOf, at_once: int = 1) -> None:
        self._open_log = open_log
        self._outline = outline
        self._at_once = at_once
        self._held: OrderedDict[Hashable, MergedLog] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: Hashable, *, keep: bool = True) -> MergedLog:
        """The logs of that name as one, as they were when they were last updated; remembered if it is to be kept."""
        with self._lock:
            merged = self._held.get(name) or MergedLog(self._open_log, self._outline, self._at_once)
            if keep:
                self._held[name] = merged
                self._held.move_to_end(name)
                while len(self._held) > 1 and (
                    len(self._held) > MOST_KEPT or sum(m.weight for m in self._held.values()) > MOST_HELD
                ):
                    self._held.popitem(last=False)
            return merged


def _said(number: int, error: DamagedLog) -> Line:
    """In place of a line that cannot be read."""
    text = f"[khantui] {error}"
    return Line(number, 0, text, None, len(text.encode()), error=True)


def no_log(key: LogKey) -> NotFound:
    """The error for an attempt that has written none."""
    return NotFound(
        f"attempt {key.number} of {key.stage} in run {key.run} has no log", hint="it may not have started yet"
    )
