"""A store in this process's memory, with etcd's semantics: for tests, and for trying things without a server."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from itertools import count

from msgspec import Struct

from backend.clock import Clock, SystemClock
from backend.errors import LeaseLost, StoreCompacted, StoreError, ValueTooLarge
from backend.store.base import MOST_CHANGES, Batch, Change, Condition, Delete, Health, KeyValue, Page, Put
from backend.store.keys import after

LIMIT = 1_572_864  # bytes in one transaction


class _Lease(Struct):
    ttl: float
    until: datetime  # as it would be if nobody had set the clock
    keys: set[str]


class MemoryStore:
    """All revisions of all keys, until compacted."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.written = 0
        self._revision = 1
        self._compacted = 0
        self._now: dict[str, KeyValue] = {}
        self._sorted: list[str] = []
        self._history: list[Change] = []
        self._woken = asyncio.Event()  # set, and replaced by a new one, whenever there is something new
        self._leases: dict[int, _Lease] = {}
        self._leased: dict[str, int] = {}
        self._ids = count(1)

    async def get(self, key: str) -> KeyValue | None:
        self._expire()
        return self._now.get(key)

    async def get_many(self, keys: list[str]) -> list[KeyValue | None]:
        self._expire()
        return [self._now.get(key) for key in keys]

    async def firsts(self, prefixes: list[str], limit: int) -> list[list[str]]:
        pages = [await self.page(p, after(p), limit=limit, keys_only=True) for p in prefixes]
        return [[item.key for item in page.items] for page in pages]

    async def page(
        self,
        start: str,
        end: str,
        *,
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
        descending: bool = False,
    ) -> Page:
        self._expire()
        items = self._at(start, end, revision)
        total = len(items)
        if descending:
            items.reverse()
        more = bool(limit) and total > limit and not count_only
        shown = [] if count_only else items[:limit] if limit else items
        if keys_only:
            shown = [KeyValue(i.key, b"", i.created, i.modified) for i in shown]
        return Page(shown, revision or self._revision, more, total)

    def _at(self, start: str, end: str, revision: int) -> list[KeyValue]:
        if revision > self._revision:
            raise StoreError(f"revision {revision} is in the future")
        if revision and revision < self._compacted:
            raise StoreCompacted(f"revision {revision} is gone")
        if not revision or revision == self._revision:
            low, high = bisect.bisect_left(self._sorted, start), bisect.bisect_left(self._sorted, end)
            return [self._now[k] for k in self._sorted[low:high]]
        found: dict[str, KeyValue] = {}
        for change in self._history:
            if change.modified > revision:
                break
            if start <= change.key < end:
                if change.value is None:
                    found.pop(change.key, None)
                else:
                    found[change.key] = KeyValue(change.key, change.value, change.created, change.modified)
        return [found[k] for k in sorted(found)]

    async def scan(self, prefix: str, *, page: int = 5000, revision: int = 0) -> AsyncIterator[Page]:
        start = prefix
        while True:
            found = await self.page(start, after(prefix), limit=page, revision=revision)
            revision = found.revision
            yield found
            if not found.more:
                return
            start = found.items[-1].key + "\0"

    async def commit(self, conditions: list[Condition], changes: list[Put | Delete]) -> int | None:
        self._expire()
        _check(changes)
        for condition in conditions:
            found = self._now.get(condition.key)
            if condition.modified is not None and (found.modified if found else 0) != condition.modified:
                return None
            if condition.created is not None and (found.created if found else 0) != condition.created:
                return None
        if any(isinstance(c, Put) and c.lease and c.lease not in self._leases for c in changes):
            raise LeaseLost("no such lease")
        self._apply(changes)
        if any(isinstance(change, Put) for change in changes):
            self.written = self._revision
        return self._revision

    def _apply(self, changes: Sequence[Put | Delete]) -> None:
        revision = self._revision + 1
        made: list[Change] = []
        for change in changes:
            if isinstance(change, Put):
                made.append(self._put(change, revision))
                continue
            doomed = [k for k in self._sorted if k.startswith(change.key)] if change.prefix else [change.key]
            for key in doomed:
                if self._now.pop(key, None) is not None:
                    self._sorted.remove(key)
                    self._release(key)
                    made.append(Change(key, None, revision))
        if made:
            self._revision = revision
            self._history += made
            self._wake()

    def _put(self, change: Put, revision: int) -> Change:
        old = self._now.get(change.key)
        if old is None:
            bisect.insort(self._sorted, change.key)
        created = old.created if old else revision
        self._now[change.key] = KeyValue(change.key, change.value, created, revision)
        self._release(change.key)
        if change.lease:
            self._leases[change.lease].keys.add(change.key)
            self._leased[change.key] = change.lease
        return Change(change.key, change.value, revision, created)

    def _release(self, key: str) -> None:
        """The key is on no lease any more."""
        if lease := self._leased.pop(key, 0):
            self._leases[lease].keys.discard(key)

    async def watch(self, prefix: str, revision: int) -> AsyncIterator[Batch]:
        following = revision
        while True:
            self._expire()
            if following < self._compacted:
                raise StoreCompacted(f"revision {following} is gone")
            fresh = self._history[bisect.bisect_left(self._history, following, key=lambda c: c.modified) :]
            following = max(following, self._revision + 1)
            mine = [c for c in fresh if c.key.startswith(prefix)]
            if mine:
                yield Batch(mine[-1].modified, mine)
            else:
                await self._news()

    async def _news(self) -> None:
        """Return when something has changed, or a lease has expired."""
        waiting: set[asyncio.Future[object]] = {asyncio.ensure_future(self._woken.wait())}
        if self._leases:
            until = min(lease.until for lease in self._leases.values())
            waiting.add(asyncio.ensure_future(self._clock.sleep((until - self._passed()).total_seconds())))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    def _wake(self) -> None:
        self._woken.set()
        self._woken = asyncio.Event()

    async def grant(self, ttl: float) -> int:
        identifier = next(self._ids)
        self._leases[identifier] = _Lease(ttl, self._passed() + timedelta(seconds=ttl), set())
        self._wake()  # whoever waits for the next lease to expire looks again
        return identifier

    async def keep_alive(self, lease: int) -> float:
        self._expire()
        found = self._leases.get(lease)
        if found is None:
            raise LeaseLost("the lease has expired")
        found.until = self._passed() + timedelta(seconds=found.ttl)
        return found.ttl

    async def revoke(self, lease: int) -> None:
        self._expire()
        if lease in self._leases:
            self._end(lease)

    def _expire(self) -> None:
        now = self._passed()
        for identifier, lease in list(self._leases.items()):
            if lease.until <= now:
                self._end(identifier)

    def _passed(self) -> datetime:
        return self._clock.now() - self._clock.shift

    def _end(self, lease: int) -> None:
        self._apply([Delete(key) for key in sorted(self._leases[lease].keys)])
        del self._leases[lease]

    async def health(self) -> Health:
        size = sum(len(k) + len(v.value) for k, v in self._now.items())
        return Health("memory", size, size, 0, False)

    async def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise StoreError(f"revision {revision} is in the future")
        if revision <= self._compacted:
            return
        self._compacted = revision
        split = bisect.bisect_left(self._history, revision, key=lambda c: c.modified)
        newest = {change.key: change for change in self._history[:split]}
        kept = sorted((c for c in newest.values() if c.value is not None), key=lambda c: c.modified)
        self._history = kept + self._history[split:]

    async def close(self) -> None:
        """Nothing to let go of."""


def _check(changes: Sequence[Put | Delete]) -> None:
    """Refuse what etcd refuses of a transaction."""
    if len(changes) > MOST_CHANGES:
        raise ValueTooLarge(f"more than {MOST_CHANGES} changes in one transaction")
    puts = [c for c in changes if isinstance(c, Put)]
    if sum(len(c.key) + len(c.value) for c in puts) > LIMIT:
        raise ValueTooLarge("more than 1.5 MiB in one transaction")
    doomed = [c for c in changes if isinstance(c, Delete)]
    written = {c.key for c in puts}
    if len(written) < len(puts) or any(
        key.startswith(d.key) if d.prefix else key == d.key for key in written for d in doomed
    ):
        raise StoreError("duplicate key in one transaction")
