"""One watch on the whole store, shared by all in this process who want to hear of changes.

A subscriber names the prefixes it cares for and gets batches in order. It is never dropped silently: one that is too
slow, or that asks for changes older than what is remembered, gets `Lost` and lists again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from backend.errors import StoreCompacted, StoreError, StoreRewound
from backend.store.base import Batch, Change, Store
from backend.store.keys import after

END = after("")  # behind all keys
PAUSE = 0.2  # seconds before an unreachable store is asked again


class Lost(Exception):
    """Changes were missed: list everything again, then subscribe anew."""


class Subscription:
    """Batches for one subscriber; iterate over it. Close it when done (it is a context manager)."""

    def __init__(self, feed: Feed, prefixes: tuple[str, ...], since: int, limit: int) -> None:
        self._feed = feed
        self._prefixes = prefixes
        self._since = since
        self._limit = limit
        self._queue: deque[Batch] = deque()
        self._wake = asyncio.Event()
        self._lost = False

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.unsubscribe(self)

    def offer(self, batch: Batch) -> None:
        """Called by the feed with every batch."""
        changes = [c for c in batch.changes if c.modified > self._since and c.key.startswith(self._prefixes)]
        if not changes or self._lost:
            return
        if len(self._queue) >= self._limit:
            self.lose()
            return
        self._queue.append(Batch(batch.revision, changes))
        self._wake.set()

    def lose(self) -> None:
        """Called by the feed when there are changes that it cannot tell."""
        self._queue.clear()
        self._lost = True
        self._wake.set()

    @property
    def waiting(self) -> bool:
        """Whether there is something that the subscriber has not taken yet."""
        return bool(self._queue) or self._lost

    async def next(self) -> Batch:
        """The next batch; waits for it. Raises Lost."""
        while not self._queue:
            if self._lost:
                raise Lost
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    async def __aiter__(self) -> AsyncIterator[Batch]:
        while True:
            yield await self.next()


class Feed:
    """The watch itself, and the newest changes, for subscribers that come back."""

    def __init__(self, store: Store, *, remember: int = 20_000) -> None:
        self._store = store
        self._subscriptions: set[Subscription] = set()
        self._recent: deque[Change] = deque()
        self._remember = remember
        self._checks: set[asyncio.Task[None]] = set()
        self._oldest = 0  # changes after this revision are all in _recent
        self.revision = 0  # everything up to this one has been seen
        self.restarts = 0
        self.started = asyncio.Event()

    def subscribe(self, *prefixes: str, since: int | None = None, limit: int = 10_000) -> Subscription:
        """Changes to keys that start with any of `prefixes`, after revision `since` (None: from now on).

        Raises Lost if `since` is older than what is remembered.
        """
        start = self.revision if since is None else since
        if start < self._oldest:
            raise Lost
        subscription = Subscription(self, prefixes, start, limit)
        for batch in _by_revision(self._recent, start):
            subscription.offer(batch)
        self._subscriptions.add(subscription)
        if start > self.revision:
            check = asyncio.create_task(self._check(subscription, start))
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)
        return subscription

    async def _check(self, subscription: Subscription, since: int) -> None:
        """A revision that has not been seen here is to come soon; or the store has lost it, and would be silent."""
        try:
            there = (await self._now()) >= since
        except StoreError:
            there = False
        if not there:
            subscription.lose()

    def unsubscribe(self, subscription: Subscription) -> None:
        """No more batches for it."""
        self._subscriptions.discard(subscription)

    async def run(self) -> None:
        """Watch for ever. Raises StoreError only before the first time that it is `started`."""
        while True:
            try:
                revision = await self._now()
            except StoreError:
                if not self.started.is_set():
                    raise
                await asyncio.sleep(PAUSE)
                continue
            self._begin(revision)
            try:
                async for batch in self._store.watch("", revision + 1):
                    self._publish(batch)
            except (StoreCompacted, StoreRewound):
                self.restarts += 1

    async def _now(self) -> int:
        return (await self._store.page("", END, limit=1, keys_only=True)).revision

    def _begin(self, revision: int) -> None:
        if self.started.is_set():
            for subscription in self._subscriptions:
                subscription.lose()
        self._recent.clear()
        self._oldest = self.revision = revision
        self.started.set()

    def _publish(self, batch: Batch) -> None:
        self._recent.extend(batch.changes)
        while len(self._recent) > self._remember:
            self._oldest = self._recent.popleft().modified
        self.revision = batch.revision
        for subscription in tuple(self._subscriptions):
            subscription.offer(batch)


def _by_revision(changes: deque[Change], since: int) -> list[Batch]:
    batches: list[Batch] = []
    for change in changes:
        if change.modified <= since:
            continue
        if batches and batches[-1].revision == change.modified:
            batches[-1].changes.append(change)
        else:
            batches.append(Batch(change.modified, [change]))
    return batches
