"""How many keys there are below a prefix, kept in step with the changes of the store.

etcd counts a range by walking through all of it, also when only its first few keys are asked for: of 100,000 runs that
takes longer than all the rest. What was counted once is known from then on.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from backend.store import keys
from backend.store.base import Batch, Store
from backend.store.feed import Feed, Lost

log = logging.getLogger(__name__)

COUNTED = (keys.RUNS, keys.BY_PIPELINE, keys.BY_STATE, keys.BY_BACKFILL)
KEPT = 2000  # prefixes
LONG = 5000  # keys from which on etcd should not be made to walk through all of them


class _Count:
    """Of one prefix."""

    def __init__(self) -> None:
        self.number: int | None = None  # as of `revision`, and what has come since
        self.revision = 0
        self.early: list[tuple[int, int]] = []  # (revision, difference), while it is being counted

    def change(self, revision: int, difference: int) -> None:
        if self.number is None:
            self.early.append((revision, difference))
        elif revision > self.revision:
            self.number += difference

    def counted(self, number: int, revision: int) -> int:
        self.number = number + sum(difference for at, difference in self.early if at > revision)
        self.revision = revision
        self.early.clear()
        return self.number


class Tally:
    """Counts of the prefixes that were asked for. A prefix ends in a slash, and keys below it have no other."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store = store
        self._feed = feed
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._follows = False

    async def run(self) -> None:
        """Follow changes until cancelled."""
        while True:
            with self._feed.subscribe(*COUNTED) as changes:
                self._follows = True
                try:
                    async for batch in changes:
                        self._hear(batch)
                except Lost:
                    log.info("changes of the store were missed: it is counted again")
                finally:
                    self._follows = False
                    self._counts.clear()

    async def count(self, prefix: str) -> int:
        """How many keys there are; of many, without changes that this process has not heard of. Raises StoreError."""
        about = await self.about(prefix)
        if about > LONG:
            return about
        return (await self._store.page(prefix, keys.after(prefix), count_only=True)).count

    async def about(self, prefix: str) -> int:
        """How many keys there are, without changes that this process has not heard of yet. Raises StoreError."""
        known = self._counts.get(prefix)
        if known is not None and known.number is not None:
            self._counts.move_to_end(prefix)
            return known.number
        if known is None and self._follows and prefix.startswith(COUNTED):
            known = self._counts[prefix] = _Count()
            while len(self._counts) > KEPT:
                self._counts.popitem(last=False)
        page = await self._store.page(prefix, keys.after(prefix), count_only=True)
        return known.counted(page.count, page.revision) if known is not None and known.number is None else page.count

    def _hear(self, batch: Batch) -> None:
        for change in batch.changes:
            if change.value is not None and change.created != change.modified:
                continue
            known = self._counts.get(change.key[: change.key.rindex("/") + 1])
            if known is not None:
                known.change(change.modified, 1 if change.value is not None else -1)
