"""Gives an etcd of our own its space back before it is full, and when it is.

Who runs a cluster for others compacts and defragments it himself: a defragmentation is one member's, and stops it.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from backend.clock import Clock
from backend.errors import StoreError
from backend.store.base import Health, Store
from backend.store.keys import after

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)
SELDOM = timedelta(hours=1)  # once it has turned out that there is nothing to win


class Upkeep:
    """Looks after one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Look at it now and then, for ever."""
        pause = EVERY
        while True:
            try:
                pause = await self.look(pause)
            except StoreError as error:
                log.info("etcd cannot be looked after now: %s", error)
            await self._clock.sleep(pause.total_seconds())

    async def look(self, pause: timedelta = EVERY) -> timedelta:
        """Do what is due: when to look again, if the last pause was `pause`. Raises StoreError."""
        health = await self._store.health()
        if not due(health):
            return EVERY
        log.warning("etcd has %d of %d bytes and uses %d: it is compacted", health.size, health.quota, health.in_use)
        page = await self._store.page("", after(""), limit=1, keys_only=True)
        await self._store.compact(page.revision)
        health = await self._store.health()
        if due(health):
            log.error("etcd stays full: keep fewer runs (%d of %d bytes are in use)", health.in_use, health.quota)
            return min(pause * 2, SELDOM)
        return EVERY


def due(health: Health) -> bool:
    """Whether a store is full, or will be soon although it does not use half of what it has."""
    return health.full or (4 * health.size > 3 * health.quota > 0 and 2 * health.in_use < health.size)
