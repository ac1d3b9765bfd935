"""Several logs as one, in the order of time: which lines of which log follow one another. Pure; only grows.

What is known of times are the marks in the logs' indexes, so what lies between two marks of a log stays together: a
segment. Segments are put in order by the time of the mark behind them, and counted through. Only they are held, not
the lines.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from backend.logs.index import Mark

LARGEST = 1 << 20  # bytes of a segment that several were joined to
MOST_SEGMENTS = 200_000  # beyond that, times are taken less exactly
_GRAINS = (1, 1_000_000, 10_000_000, 60_000_000, 600_000_000, 1 << 62)  # microseconds


class Outline(Struct, frozen=True):
    """What is known of a log without reading it. `lines` are those that have ended, and the last if it is complete."""

    bytes: int
    lines: int
    complete: bool
    archived: bool
    marks: Sequence[Mark]
    first_error: int | None = None  # the number of a line, if it is known


class Segment(NamedTuple):
    """Lines of one log that follow one another: `lines` of them from its line `line` (from 0)."""

    micros: int
    part: int
    line: int
    lines: int
    offset: int
    bytes: int


class Span(NamedTuple):
    """Lines that follow one another in the merged log and in their own: numbers from 1."""

    number: int
    part: int
    line: int
    lines: int


class Merge:
    """The order of some logs, which are told apart by their place in the list of parts."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._starts: list[int] = []  # the merged line (from 0) that each segment begins with
        self.total = 0
        self._known: list[tuple[int, int, int]] = []  # of each part: lines and bytes that are in, and the last time
        self._of_part: list[list[int]] = []  # which segments
        self._grain = 0  # index into _GRAINS

    def extend(self, outlines: Sequence[Outline | None]) -> None:
        """Take in what the logs have gained; those that are new are at the end. None: nothing of it is known yet."""
        while len(self._known) < len(outlines):
            self._known.append((0, 0, 0))
            self._of_part.append([])
        fresh = [outline is not None and outline.lines > self._known[i][0] for i, outline in enumerate(outlines)]
        made = [s for i, o in enumerate(outlines) if o is not None and fresh[i] for s in self._cut(i, o)]
        while len(made) > MOST_SEGMENTS and self._grain < len(_GRAINS) - 1:
            self._grain += 1
            made = list(self._coarser(made))
        made.sort(key=lambda s: (s.micros, s.part))
        for segment in made:
            self._of_part[segment.part].append(len(self.segments))
            self.segments.append(segment)
            self._starts.append(self.total)
            self.total += segment.lines
            self._known[segment.part] = (
                segment.line + segment.lines,
                segment.offset + segment.bytes,
                max(segment.micros, self._known[segment.part][2]),
            )

    def _cut(self, part: int, outline: Outline) -> Iterator[Segment]:
        """What an outline has that is not in yet, one segment for each time."""
        line, offset, last = self._known[part]
        pending: Segment | None = None
        at = bisect.bisect_right(outline.marks, line, key=lambda m: m.line)
        ends = [*outline.marks[at:], Mark(outline.bytes, outline.lines, 0)]
        for mark in ends:
            if mark.line <= line:
                continue
            last = self._grained(max(last, mark.micros or last))
            segment = Segment(last, part, line, mark.line - line, offset, mark.offset - offset)
            line, offset = mark.line, mark.offset
            if pending is not None and _together(pending, segment):
                pending = _joined(pending, segment)
            else:
                if pending is not None:
                    yield pending
                pending = segment
        if pending is not None:
            yield pending

    def _grained(self, micros: int) -> int:
        grain = _GRAINS[self._grain]
        return -(-micros // grain) * grain

    def _coarser(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        pending: Segment | None = None
        for segment in segments:  # those of a part follow one another
            segment = segment._replace(micros=self._grained(segment.micros))
            if pending is not None and _together(pending, segment):
                pending = _joined(pending, segment)
            else:
                if pending is not None:
                    yield pending
                pending = segment
        if pending is not None:
            yield pending

    def spans(self, number: int, count: int) -> list[Span]:
        """Where the merged lines from `number` (from 1) are, at most `count`, in order."""
        first = max(number, 1) - 1
        end = min(first + count, self.total)
        found: list[Span] = []
        at = bisect.bisect_right(self._starts, first) - 1
        while first < end:
            segment, start = self.segments[at], self._starts[at]
            within = first - start
            taken = min(segment.lines - within, end - first)
            found.append(Span(first + 1, segment.part, segment.line + within + 1, taken))
            first += taken
            at += 1
        return found

    def number_of(self, part: int, line: int) -> int:
        """The merged number of a log's line (both from 1); it must be in."""
        owned = self._of_part[part]
        place = bisect.bisect_right(owned, line - 1, key=lambda i: self.segments[i].line) - 1
        at = owned[place]
        return self._starts[at] + line - self.segments[at].line

    def since(self, micros: int) -> int:
        """The first merged line that was written at or after a time, as far as is known; one behind all if none was."""
        at = bisect.bisect_left(self.segments, micros, key=lambda s: s.micros)
        return self._starts[at] + 1 if at < len(self.segments) else self.total + 1

    def place(self, number: int) -> int:
        """Which segment a merged line (from 1) is in."""
        return max(bisect.bisect_right(self._starts, number - 1) - 1, 0)


def _together(one: Segment, next_one: Segment) -> bool:
    same = (one.part, one.micros) == (next_one.part, next_one.micros)
    return same and one.bytes + next_one.bytes <= LARGEST


def _joined(one: Segment, next_one: Segment) -> Segment:
    return one._replace(lines=one.lines + next_one.lines, bytes=one.bytes + next_one.bytes)
