"""The ids of all runs, newest first, each with the number of its outline: some twenty bytes a run."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence

from backend.run.ids import mirror

WIDTH = 18  # bytes of an id and what sets it off from the next
CHUNK = 1024  # runs; one of twice as many is split
MOST_OUTLINES = 20_000
MOST_OUTLINED = 4 << 20  # characters of all of them
LONGEST = 1000  # characters of one
UNKNOWN = 0  # the outline of a run of which nothing is known but its id


class Outlines:
    """Texts that many runs have in common, kept once and known by numbers."""

    def __init__(self) -> None:
        self.texts: list[str] = [""]  # by number; that of UNKNOWN says nothing
        self.version = 0  # rises whenever a number gets a text
        self._numbers: dict[str, int] = {}
        self._counts: list[int] = [0]
        self._free: list[int] = []
        self._size = 0

    def take(self, text: str) -> int:
        """The number of a text for one more run; UNKNOWN where there is no room for it."""
        number = self._numbers.get(text)
        if number is None:
            if len(text) > LONGEST or self._size + len(text) > MOST_OUTLINED or len(self._numbers) >= MOST_OUTLINES:
                return UNKNOWN
            number = self._add(text)
        self._counts[number] += 1
        return number

    def _add(self, text: str) -> int:
        if self._free:
            number = self._free.pop()
            self.texts[number] = text
        else:
            number = len(self.texts)
            self.texts.append(text)
            self._counts.append(0)
        self._numbers[text] = number
        self._size += len(text)
        self.version += 1
        return number

    def give_back(self, number: int) -> None:
        """One run has it no longer."""
        if number == UNKNOWN:
            return
        self._counts[number] -= 1
        if not self._counts[number]:
            text, self.texts[number] = self.texts[number], ""
            del self._numbers[text]
            self._size -= len(text)
            self._free.append(number)

    def numbers(self) -> Iterable[tuple[int, str]]:
        """Those in use, with their texts; without UNKNOWN."""
        return ((number, text) for text, number in self._numbers.items())


class _Chunk:
    """Neighbours: their mirrored ids, each with a line feed behind it, and the numbers of their outlines."""

    def __init__(self, ids: bytearray, outlines: array[int]) -> None:
        self.ids = ids
        self.outlines = outlines

    def id(self, place: int) -> bytes:
        return bytes(self.ids[place * WIDTH : place * WIDTH + WIDTH - 1])

    def behind(self, mirrored: bytes) -> int:
        """The place of the first that comes behind `mirrored`."""
        return bisect_right(range(len(self.outlines)), mirrored, key=self.id)

    def named(self, needles: Collection[bytes], start: int) -> set[int]:
        """The places from `start` on of ids that have one of the needles in them."""
        found: set[int] = set()
        for needle in needles:
            at = self.ids.find(needle, start * WIDTH)
            while at >= 0:
                found.add(at // WIDTH)
                at = self.ids.find(needle, at + 1)
        return found


class RunTable:
    """In order of their mirrored ids, in chunks."""

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []
        self._firsts: list[bytes] = []  # ids of the chunks
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, mirrored: bytes, outline: int) -> int | None:
        """Add a run, or change its outline: the number that it had until now, if it was there."""
        if not self._chunks:
            self._chunks.append(_Chunk(bytearray(), array("I")))
            self._firsts.append(mirrored)
        index = max(0, bisect_right(self._firsts, mirrored) - 1)
        chunk = self._chunks[index]
        length = len(chunk.outlines)
        place = length if length and chunk.id(length - 1) < mirrored else chunk.behind(mirrored)
        if place and chunk.id(place - 1) == mirrored:
            before, chunk.outlines[place - 1] = chunk.outlines[place - 1], outline
            return before
        chunk.ids[place * WIDTH : place * WIDTH] = mirrored + b"\n"
        chunk.outlines.insert(place, outline)
        if not place:
            self._firsts[index] = mirrored
        self._length += 1
        if len(chunk.outlines) >= 2 * CHUNK:
            self._split(index)
        return None

    def _split(self, index: int) -> None:
        chunk = self._chunks[index]
        behind = _Chunk(chunk.ids[CHUNK * WIDTH :], chunk.outlines[CHUNK:])
        self._chunks[index] = _Chunk(chunk.ids[: CHUNK * WIDTH], chunk.outlines[:CHUNK])
        self._chunks.insert(index + 1, behind)
        self._firsts.insert(index + 1, behind.id(0))

    def remove(self, mirrored: bytes) -> int | None:
        """Take a run out: the number of its outline, if it was there."""
        index = bisect_right(self._firsts, mirrored) - 1
        if index < 0:
            return None
        chunk = self._chunks[index]
        place = chunk.behind(mirrored) - 1
        if place < 0 or chunk.id(place) != mirrored:
            return None
        del chunk.ids[place * WIDTH : (place + 1) * WIDTH]
        outline = chunk.outlines.pop(place)
        self._length -= 1
        if chunk.outlines:
            self._firsts[index] = chunk.id(0)
        else:
            del self._chunks[index], self._firsts[index]
        return outline

    def cut(self) -> tuple[list[int], bytes]:
        """Take out the last chunk: its outlines, and the last id that is left."""
        chunk = self._chunks.pop()
        del self._firsts[-1]
        self._length -= len(chunk.outlines)
        last = self._chunks[-1]
        return list(chunk.outlines), last.id(len(last.outlines) - 1)

    def find(self, last: bytes, end: bytes, wanted: Wanted, size: int) -> list[str]:
        """The mirrored ids of the next runs that are wanted, behind `last` and before `end`; `size` at most."""
        found: list[str] = []
        for index in range(max(0, bisect_right(self._firsts, last) - 1), len(self._chunks)):
            chunk = self._chunks[index]
            if self._firsts[index] >= end:
                break
            start = chunk.behind(last) if self._firsts[index] <= last else 0
            for place in wanted.places(chunk, start)[: size - len(found)]:
                mirrored = chunk.id(place)
                if mirrored >= end:
                    return found
                found.append(mirrored.decode())
            if len(found) >= size:
                break
        return found

    def skip(self, last: bytes, wanted: Wanted, number: int) -> tuple[bytes, int]:
        """Behind which id the runs are that follow the next `number` wanted ones; how many of them were missing."""
        for index in range(max(0, bisect_right(self._firsts, last) - 1), len(self._chunks)):
            chunk = self._chunks[index]
            start = chunk.behind(last) if self._firsts[index] <= last else 0
            places = wanted.places(chunk, start)
            if len(places) >= number:
                return (chunk.id(places[number - 1]) if number else last), 0
            number -= len(places)
            last = chunk.id(len(chunk.outlines) - 1)
        return last, number


class Wanted:
    """Which runs are looked for, by the numbers of their outlines."""

    def __init__(self, sure: set[int], doubtful: set[int], words: Collection[str], *, every: bool = False) -> None:
        """`sure`: these; `doubtful`: these where one of the words is in the id; `every`: all there are."""
        self._sure = sure
        self._doubtful = doubtful
        self._needles = [mirror(word.lower()).encode() for word in words if doubtful]
        self._every = every

    def places(self, chunk: _Chunk, start: int) -> Sequence[int]:
        """Where they are in a chunk, in order, from a place on."""
        outlines = chunk.outlines
        if self._every:
            return range(start, len(outlines))
        sure = self._sure
        places: list[int] = []
        if not sure.isdisjoint(outlines):
            places = [place for place, number in enumerate(outlines) if number in sure and place >= start]
        named = {p for p in chunk.named(self._needles, start) if outlines[p] in self._doubtful}
        return sorted(named.union(places)) if named else places
