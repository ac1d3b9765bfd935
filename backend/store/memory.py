"""A store in this process's memory, with etcd's semantics: for tests, and for trying things without a server."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import count

from backend.clock import Clock, SystemClock
from backend.errors import LeaseLost, StoreCompacted, StoreError, ValueTooLarge
from backend.store.base import Batch, Change, Condition, Delete, Health, KeyValue, Page, Put
from backend.store.keys import after

LIMIT = 1_572_864


class MemoryStore:
    """All revisions of all keys, until compacted."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._revision = 1
        self._compacted = 0
        self._now: dict[str, KeyValue] = {}
        self._sorted: list[str] = []
        self._history: list[Change] = []
        self._changed = asyncio.Condition()
        self._leases: dict[int, tuple[datetime, float, set[str]]] = {}
        self._ids = count(1)

    async def get(self, key: str) -> KeyValue | None:
        self._expire()
        return self._now.get(key)

    async def get_many(self, keys: list[str]) -> list[KeyValue | None]:
        self._expire()
        return [self._now.get(key) for key in keys]

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
        more = bool(limit) and total > limit
        shown = [] if count_only else items[:limit] if limit else items
        if keys_only:
            shown = [KeyValue(i.key, b"", i.created, i.modified) for i in shown]
        return Page(shown, revision or self._revision, more, total)

    def _at(self, start: str, end: str, revision: int) -> list[KeyValue]:
        if revision and revision < self._compacted:
            raise StoreCompacted(f"revision {revision} is gone")
        if not revision or revision >= self._revision:
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
        if len(changes) > 128:
            raise ValueTooLarge("more than 128 changes in one transaction")
        for condition in conditions:
            found = self._now.get(condition.key)
            if condition.modified is not None and (found.modified if found else 0) != condition.modified:
                return None
            if condition.created is not None and (found.created if found else 0) != condition.created:
                return None
        self._apply(changes)
        async with self._changed:
            self._changed.notify_all()
        return self._revision

    def _apply(self, changes: list[Put | Delete]) -> None:
        if any(isinstance(c, Put) and len(c.value) > LIMIT for c in changes):
            raise ValueTooLarge("a value of more than 1.5 MiB")
        revision = self._revision + 1
        made: list[Change] = []
        for change in changes:
            if isinstance(change, Put):
                old = self._now.get(change.key)
                if old is None:
                    bisect.insort(self._sorted, change.key)
                created = old.created if old else revision
                self._now[change.key] = KeyValue(change.key, change.value, created, revision)
                made.append(Change(change.key, change.value, revision, created))
                if change.lease:
                    if change.lease not in self._leases:
                        raise LeaseLost("no such lease")
                    self._leases[change.lease][2].add(change.key)
            else:
                doomed = [change.key] if not change.prefix else [k for k in self._sorted if k.startswith(change.key)]
                for key in doomed:
                    if self._now.pop(key, None) is not None:
                        self._sorted.remove(key)
                        made.append(Change(key, None, revision))
        if made:
            self._revision = revision
            self._history += made

    async def watch(self, prefix: str, revision: int) -> AsyncIterator[Batch]:
        if revision <= self._compacted:
            raise StoreCompacted(f"revision {revision} is gone")
        at = 0
        while True:
            fresh = self._history[at:]
            at = len(self._history)
            mine = [c for c in fresh if c.modified >= revision and c.key.startswith(prefix)]
            if mine:
                yield Batch(mine[-1].modified, mine)
                continue
            async with self._changed:
                if at == len(self._history):
                    await self._changed.wait()

    async def grant(self, ttl: float) -> int:
        lease = next(self._ids)
        self._leases[lease] = (self._clock.now() + timedelta(seconds=ttl), ttl, set())
        return lease

    async def keep_alive(self, lease: int) -> float:
        self._expire()
        if lease not in self._leases:
            raise LeaseLost("the lease has expired")
        _, ttl, keys = self._leases[lease]
        self._leases[lease] = (self._clock.now() + timedelta(seconds=ttl), ttl, keys)
        return ttl

    async def revoke(self, lease: int) -> None:
        found = self._leases.pop(lease, None)
        if found:
            self._apply([Delete(key) for key in found[2]])
            async with self._changed:
                self._changed.notify_all()

    def _expire(self) -> None:
        now = self._clock.now()
        for lease, (until, _, keys) in list(self._leases.items()):
            if until <= now:
                del self._leases[lease]
                self._apply([Delete(key) for key in keys])

    async def health(self) -> Health:
        size = sum(len(k) + len(v.value) for k, v in self._now.items())
        return Health("memory", size, size, 0, False)

    async def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise StoreError("that revision is in the future")
        self._compacted = revision

    async def close(self) -> None:
        """Nothing to let go of."""
