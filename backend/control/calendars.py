"""Brings schedules in step with their calendars, where whoever changed one was killed before all had followed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from backend.clock import Clock
from backend.errors import StoreError
from backend.store import keys
from backend.store.base import Condition, Store
from backend.store.calendars import spread
from backend.store.feed import Feed, Lost

log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds after an error of the store


class Calendars:
    """All calendars, each looked at once, and whenever it changes."""

    def __init__(self, store: Store, feed: Feed, clock: Clock, fence: Callable[[], list[Condition]]) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._fence = fence

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                await self._follow()
            except Lost:
                log.info("calendars are listed again")
            except StoreError as error:
                log.warning("cannot bring schedules in step with calendars: %s; trying again", error)
                await self._clock.sleep(_PAUSE)

    async def _follow(self) -> None:
        with self._feed.subscribe(keys.CALENDARS) as changes:
            async for page in self._store.scan(keys.CALENDARS):
                for item in page.items:
                    await self._spread(item.key)
            async for batch in changes:
                for change in batch.changes:
                    await self._spread(change.key)

    async def _spread(self, key: str) -> None:
        await spread(self._store, key.removeprefix(keys.CALENDARS), self._clock.now(), self._fence)
