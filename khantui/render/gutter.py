"""The connectors between two columns of a graph: each gets a vertical track, so that none runs along another.

Sources with the same targets share one track. A line that crosses another without touching it passes behind it;
where one joins a line that it could be mistaken for a branch of, an arrow says which way it comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from heapq import heappop, heappush
from itertools import pairwise
from typing import NamedTuple

_LEFT, _RIGHT, _UP, _DOWN = 1, 2, 4, 8
_MARKS = dict(enumerate("   ─ ╯╰┴ ╮╭┬│┤├┼"))  # by the sum of the directions that a cell is connected to


class Gutter(NamedTuple):
    """So many tracks; for each row with anything in it, pieces of text and whether each is on the critical path."""

    tracks: int
    height: int
    rows: dict[int, list[tuple[str, bool]]]


class _Bus:
    """Sources that have all their targets in common, and the track that joins them."""

    def __init__(self, sources: list[int], targets: list[int]) -> None:
        self.sources, self.targets = sources, targets
        self.critical: list[tuple[int, int]] = []  # pairs of source and target
        self.feeder: _Bus | None = None  # what its only source is, where it goes round a knot
        self.open = True  # its targets are on the other side, not at a second part of itself
        self.later: list[_Bus] = []  # must be on tracks further right
        self.waits = 0  # for so many that must be further left
        self.track = self.least = 0

    @property
    def rows(self) -> range:
        ends = (*self.sources, *self.targets)
        return range(min(ends), max(ends) + 1)

    @property
    def straight(self) -> bool:
        return len(self.sources) == 1 and self.sources == self.targets

    def urgency(self) -> tuple[bool, int]:
        """Those with several targets are further left, then those that cross the fewest others."""
        first = self.sources[0]
        return len(self.targets) == 1, -first if self.targets[-1] > first else first


def route(targets: Mapping[int, Set[int]], critical: Set[tuple[int, int]], height: int) -> Gutter:
    """Connect rows on the left to rows on the right. Grows in `height` where a knot needs another row."""
    groups: dict[frozenset[int], list[int]] = {}
    for source in sorted(targets):
        groups.setdefault(frozenset(targets[source]), []).append(source)
    buses = [_Bus(sources, sorted(ends)) for ends, sources in groups.items() if ends]
    if critical:
        for bus in buses:
            bus.critical = [(s, t) for s in bus.sources for t in bus.targets if (s, t) in critical]
    bent = [bus for bus in buses if not bus.straight]
    used = {row for bus in buses for row in (*bus.sources, *bus.targets)}
    parts, height = _assign(bent, used, height)
    tracks = max((bus.track for bus in parts), default=-1) + 1
    return Gutter(tracks, height, _Drawing(tracks, [bus for bus in buses if bus.straight], parts).rows())


def _assign(buses: list[_Bus], used: set[int], height: int) -> tuple[list[_Bus], int]:
    """Give each a track: what leaves a row must turn off before anything else comes in on it."""
    entering: dict[int, list[_Bus]] = {}
    for bus in buses:
        for row in bus.targets:
            entering.setdefault(row, []).append(bus)
    for bus in buses:
        bus.later = [other for row in bus.sources for other in entering.get(row, ()) if other is not bus]
        for other in bus.later:
            other.waits += 1
    free = set(range(height)) - used
    ready: list[tuple[tuple[bool, int], int, _Bus]] = []
    waiting = {}
    for number, bus in enumerate(buses):
        waiting[bus] = number
        if not bus.waits:
            heappush(ready, (bus.urgency(), number, bus))
    taken: list[tuple[int, int]] = []  # for each track, the rows that no other, and no other fork, may have, as bits
    joined: dict[int, int] = {}  # target row -> rightmost track that enters it
    placed: list[_Bus] = []
    while waiting:
        if ready:
            bus = heappop(ready)[2]
            del waiting[bus]
        else:  # they wait for one another: lead one round by a row of its own
            knot = max(waiting, key=lambda b: (len(b.later), -waiting[b]))
            if not free:
                free.add(height)
                height += 1
            bus = _split(knot, free)
        _place(bus, taken, joined)
        placed.append(bus)
        for other in bus.later:
            other.least = max(other.least, bus.track + 1)
            other.waits -= 1
            if not other.waits and other in waiting:
                heappush(ready, (other.urgency(), waiting[other], other))
    return placed, height


def _split(bus: _Bus, free: set[int]) -> _Bus:
    """Part the sources from the targets; the first part, which waits for nothing, is returned."""
    middle = (bus.rows[0] + bus.rows[-1]) // 2
    row = min(free, key=lambda r: (abs(r - middle), r))
    free.remove(row)
    first = _Bus(bus.sources, [row])
    first.open = False
    first.later, bus.later = bus.later, []
    first.critical = [(s, row) for s, _ in bus.critical]
    bus.critical = [(row, t) for _, t in bus.critical]
    bus.sources, bus.feeder = [row], first
    bus.waits += 1
    first.later.append(bus)
    return first


def _place(bus: _Bus, taken: list[tuple[int, int]], joined: dict[int, int]) -> None:
    rows = bus.rows
    bits = ((1 << len(rows)) - 1) << rows[0]
    track = bus.least
    if len(bus.targets) == 1:
        track = max(track, joined.get(bus.targets[0], -1) + 1)
    fork = len(bus.targets) > 1
    while track < len(taken) and taken[track][fork] & bits:
        track += 1
    taken.extend([(0, 0)] * (track + 1 - len(taken)))
    occupied, apart = taken[track]
    # forks do not touch: an arrow of one next to an arrow of another would look like a line through both
    taken[track] = (occupied | bits, apart | bits | (bits << 1 | bits >> 1 if fork else 0))
    bus.track = track
    for row in bus.targets:
        joined[row] = max(joined.get(row, -1), track)


class _Drawing:
    """The cells of a gutter: lines across first, then the tracks over them."""

    def __init__(self, tracks: int, straight: list[_Bus], bent: list[_Bus]) -> None:
        self._tracks = tracks
        self._cells: dict[int, list[int]] = {}
        # by row, then by track
        self._marks: dict[int, dict[int, str]] = {}  # where it is not what the directions say
        self._hot: dict[int, set[int]] = {}
        for bus in straight:
            self._across(bus.sources[0], -1, tracks, bool(bus.critical))
        for bus in bent:
            self._sides(bus)
        for bus in bent:
            self._track(bus)

    def rows(self) -> dict[int, list[tuple[str, bool]]]:
        """What is seen."""
        return {row: self._pieces(row, cells) for row, cells in self._cells.items()}

    def _pieces(self, row: int, cells: list[int]) -> list[tuple[str, bool]]:
        marks = [_MARKS[cell] for cell in cells]
        for track, mark in self._marks.get(row, {}).items():
            marks[track] = mark
        bounds = [0, len(cells)]
        for track in self._hot.get(row, ()):
            bounds += (track, track + 1)
        hot = self._hot.get(row, set())
        edges = sorted(set(bounds))
        return [("".join(marks[a:b]), a in hot) for a, b in pairwise(edges)]

    def _row(self, row: int) -> list[int]:
        if row not in self._cells:
            self._cells[row] = [0] * self._tracks
        return self._cells[row]

    def _across(self, row: int, start: int, end: int, hot: bool) -> None:
        """A line from one track to another; -1 and the number of tracks are the sides."""
        cells = self._row(row)
        if start >= 0:
            cells[start] |= _RIGHT
        if end < self._tracks:
            cells[end] |= _LEFT
        for track in range(start + 1, end):
            cells[track] |= _LEFT | _RIGHT
        if hot:
            self._hot.setdefault(row, set()).update(range(max(0, start), min(end + 1, self._tracks)))

    def _sides(self, bus: _Bus) -> None:
        hot = {row for pair in bus.critical for row in pair}
        start = bus.feeder.track if bus.feeder else -1
        for row in bus.sources:
            self._across(row, start, bus.track, row in hot)
        for row in bus.targets if bus.open else ():
            self._across(row, bus.track, self._tracks, row in hot)

    def _track(self, bus: _Bus) -> None:
        rows, track, own = bus.rows, bus.track, {*bus.sources, *bus.targets}
        hot = {row for pair in bus.critical for row in range(min(pair), max(pair) + 1)}
        for row in rows:
            cells = self._row(row)
            before = cells[track]
            if row in own or not before:
                cells[track] |= (_UP if row > rows[0] else 0) | (_DOWN if row < rows[-1] else 0)
                if before & _LEFT and len(bus.targets) > 1 and row not in bus.sources:
                    self._join(row, bus)
            else:  # it crosses a line of another, which passes behind
                self._mark(row, track, "│")
                self._hot.get(row, set()).discard(track)
            if row in hot:
                self._hot.setdefault(row, set()).add(track)

    def _join(self, row: int, bus: _Bus) -> None:
        """Where a line comes in from the left that has no part in the other targets of this track."""
        below, above = any(s > row for s in bus.sources), any(s < row for s in bus.sources)
        self._mark(row, bus.track, "▶" if below and above else "▲" if below else "▼")

    def _mark(self, row: int, track: int, mark: str) -> None:
        self._marks.setdefault(row, {})[track] = mark
