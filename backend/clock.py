"""Time as an argument: the real clock, and one that tests turn by hand."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol


class Clock(Protocol):
    """What the edges of the system ask for the time and for waking up."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return as soon as `moment` (aware) has come; at once if it is past."""
        ...


class SystemClock:
    """The machine's clock. Long sleeps look again every minute, so that a clock that jumps is noticed."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        """Return as soon as `moment` has come."""
        while (left := (moment - self.now()).total_seconds()) > 0:
            await asyncio.sleep(min(left, 60.0))


class FakeClock:
    """A clock that stands still until `advance` is called; sleepers wake in order of their moments."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> datetime:
        """The moment it stands at, in UTC."""
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until `advance` has passed `moment`."""
        if moment <= self._now:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._order), woken))
        await woken

    @property
    def next_wake(self) -> datetime | None:
        """The moment at which the next sleeper wakes; None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Turn the clock forward, waking each sleeper at its own moment and letting it act."""
        end = self._now + timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, moment)
            if not woken.done():
                woken.set_result(None)
                await asyncio.sleep(0)
        self._now = end
        await asyncio.sleep(0)
