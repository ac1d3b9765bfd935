"""One alarm for many: keys are handed back when their moment has come."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime

from backend.clock import Clock


class Timers:
    """Set a moment for a key; the earliest one set counts. `run` calls `ring` for each that is due.

    When the clock is set, all ring: who is rung looks at what is due, and sets the next moment.
    """

    def __init__(self, clock: Clock, ring: Callable[[str], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._heap: list[tuple[datetime, str]] = []
        self._set: dict[str, datetime] = {}
        self._changed = asyncio.Event()

    def set(self, key: str, moment: datetime | None) -> None:
        """Ring for `key` at `moment`; None clears it."""
        if moment is None:
            self._set.pop(key, None)
            return
        if self._set.get(key) == moment:
            return
        self._set[key] = moment
        heapq.heappush(self._heap, (moment, key))
        if self._heap[0] == (moment, key):
            self._changed.set()

    async def run(self) -> None:
        """Ring for ever."""
        shift = self._clock.shift
        while True:
            self._changed.clear()
            if shift != self._clock.shift:
                shift = self._clock.shift
                self._ring_all()
            while self._heap and self._set.get(self._heap[0][1]) != self._heap[0][0]:
                heapq.heappop(self._heap)
            if not self._heap:
                await self._changed.wait()
                continue
            moment, key = self._heap[0]
            if moment <= self._clock.now():
                heapq.heappop(self._heap)
                del self._set[key]
                self._ring(key)
                continue
            await self._until(moment)

    def _ring_all(self) -> None:
        keys, self._heap = tuple(self._set), []
        self._set.clear()
        for key in keys:
            self._ring(key)

    async def _until(self, moment: datetime) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep_until(moment))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({sleep, change}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            change.cancel()
