"""Ranges of keys that end in a run's mirrored id, read page by page, newest first, several as one.

etcd looks through the whole of a range that is asked for, however few of its keys it is to give. Ids tell when they
were made, so a long range is asked for in stretches of time, each as long as turns out to be needed.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from msgspec import Struct

from backend.run.ids import EARLIEST, edge, mirror, moment_of
from backend.store import keys
from backend.store.base import KeyValue, Store
from backend.store.base import Page as StorePage

FIRST = timedelta(minutes=10)
GROWTH = 8
SHORTEST = timedelta(seconds=1)
LAST = "~"  # behind all mirrored ids
MOST_SKIPPED_AT_ONCE = 10_000  # keys that are read to be skipped
MOST_AT_ONCE = 500  # keys of a page; the first has fewer


class Bounds(Struct, frozen=True):
    """Between which moments the ids of a range are looked at; None: from the newest, to the oldest."""

    newest: datetime | None = None
    oldest: datetime | None = None


class Range:
    """One of the ranges that are looked through."""

    def __init__(self, prefix: str, bounds: Bounds, *, values: bool, long: bool, now: datetime) -> None:
        """`values`: with them, which are the runs; `long`: it has more keys than etcd should walk through."""
        self._prefix = prefix
        self._begin = prefix + edge(bounds.newest) if bounds.newest else prefix
        self._end = f"{prefix}{edge(bounds.oldest)}." if bounds.oldest else keys.after(prefix)
        self.values = values
        self.long = long
        self._stretch = FIRST
        self._now = bounds.newest or now

    async def read(self, store: Store, last: str, size: int, revision: int) -> StorePage:
        """The page behind the run whose mirrored id is `last` (from the beginning where it is empty)."""
        start = max(f"{self._prefix}{last}\0", self._begin) if last else self._begin
        items: list[KeyValue] = []
        while True:
            end = self._stretched(start)
            page = await store.page(start, end, limit=size - len(items), revision=revision, keys_only=not self.values)
            items += page.items
            revision = page.revision
            if page.more or len(items) >= size or end == self._end:
                if page.more:
                    self._stretch = max(self._stretch / GROWTH, FIRST)
                return StorePage(items, revision, page.more or end != self._end, page.count)
            start, self._stretch = end, self._stretch * GROWTH

    async def skip(self, store: Store, last: str, number: int) -> tuple[str, int]:
        """Behind what the keys are that follow the next `number` ones, and at which revision that is so.

        Of many the stretches are counted, which is quicker than to read them.
        """
        revision = 0
        while number > 0:
            start = f"{self._prefix}{last}\0" if last else self._begin
            end = self._stretched(start)
            counting = self.long and number > MOST_AT_ONCE and self._stretch > SHORTEST
            page = await store.page(
                start,
                end,
                limit=0 if counting else min(number, MOST_SKIPPED_AT_ONCE),
                revision=revision,
                keys_only=True,
                count_only=counting,
            )
            revision = page.revision
            if counting and page.count > number:
                self._stretch /= GROWTH
            elif counting or not page.more:
                number -= page.count
                last = end[len(self._prefix) :] if end != self._end else LAST
                self._stretch *= 2
                if end == self._end:
                    break
            else:
                number -= len(page.items)
                last = mirrored_of(page.items[-1].key)
        self._stretch = FIRST
        return last, revision

    def _stretched(self, start: str) -> str:
        """Up to which key the next stretch goes."""
        if not self.long:
            return self._end
        mirrored = start[len(self._prefix) :]
        try:
            end = (moment_of(mirror(mirrored)) if mirrored else self._now) - self._stretch
        except (OverflowError, ValueError):  # there is no such time
            return self._end
        return min(f"{self._prefix}{edge(end)}.", self._end) if end > EARLIEST else self._end

    async def walk(self, store: Store, page: StorePage, size: int) -> AsyncIterator[KeyValue]:
        """Its keys from that page on, as of its revision; in pages that grow."""
        last = ""
        while True:
            for item in page.items:
                yield item
            if not page.more:
                return
            size = min(size * 2, max(size, MOST_AT_ONCE))
            last = mirrored_of(page.items[-1].key) if page.items else last
            page = await self.read(store, last, size, page.revision)


async def in_order(walks: list[AsyncIterator[KeyValue]]) -> AsyncIterator[KeyValue]:
    """Keys of several ranges as one, by the mirrored ids that they end in."""
    heads = [(await anext(walk, None), walk) for walk in walks]
    heap = [(mirrored_of(item.key), place) for place, (item, _) in enumerate(heads) if item is not None]
    heapq.heapify(heap)
    while heap:
        _, place = heap[0]
        item, walk = heads[place]
        assert item is not None
        yield item
        following = await anext(walk, None)
        heads[place] = (following, walk)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (mirrored_of(following.key), place))


def mirrored_of(key: str) -> str:
    """The mirrored id that a key ends in."""
    return key.rsplit("/", 1)[1]
