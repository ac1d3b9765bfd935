"""Time as an argument: the real clock, and one that tests turn by hand.

What is due at a moment (a tick, the end of a token) goes by the clock, also when it is set. What lasts (a time-out, a
pause) is measured by a clock that nobody can set; `Clock.shift` tells by how much the two have parted.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple, Protocol

log = logging.getLogger(__name__)

LEAST = 2.0  # seconds by which it must be set to be noticed: clocks that are kept in step go a little faster, or slower
LOOK = 1.0  # seconds between two looks at whether it was set
DAY = 86400.0  # seconds for which people are told that it was set
DOUBT = 3600.0  # seconds for which nothing is removed for its age: a clock that is wrong is often soon put right
LONGEST_SLEEP = 60.0  # seconds after which a sleeper looks by itself


class Clock(Protocol):
    """What the edges of the system ask for the time and for waking up."""

    @property
    def shift(self) -> timedelta:
        """By how much it was set, in all, since it was first looked at: forward, or backward if negative."""
        ...

    @property
    def since_jump(self) -> float | None:
        """Seconds since it was last set; None: never, as far as is known."""
        ...

    def now(self) -> datetime:
        """The present moment, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so long, wherever the clock is set meanwhile."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return as soon as `moment` (aware) has come, or the clock was set: who slept looks where it stands."""
        ...


def doubted(clock: Clock) -> float:
    """Seconds for which nothing is to be removed for its age yet; 0: what the clock says is believed."""
    since = clock.since_jump
    return 0.0 if since is None else max(0.0, DOUBT - since)


class Jump(NamedTuple):
    """The clock was set, or the machine slept: to `to` (UTC), by so much."""

    to: datetime
    by: timedelta

    def __str__(self) -> str:
        way = "forward" if self.by > timedelta() else "back"
        return f"{way} by {timedelta(seconds=round(abs(self.by).total_seconds()))} to {self.to:%Y-%m-%d %H:%M:%S} UTC"


class SystemClock:
    """The machine's clock. That it was set is noticed when it is read; sleepers hear of it while `run` runs."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        """`wall`, `steady`: seconds since 1970, and seconds that nobody can set."""
        self._wall = wall
        self._steady = steady
        self._lock = threading.Lock()  # it is read in threads, too
        self._offset = self._read()
        self._set = asyncio.Event()
        self.shift = timedelta()
        self.jumps = 0
        self.last: Jump | None = None
        self._jumped = 0.0  # when that was, by the steady clock

    @property
    def since_jump(self) -> float | None:
        """Seconds since it was last set; None: never, as far as is known."""
        return None if self.last is None else self._steady() - self._jumped

    @property
    def warning(self) -> str:
        """That it was set within a day, and by how much, for people; else nothing."""
        since = self.since_jump
        return f"went {self.last}" if since is not None and since < DAY else ""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        wall = self._wall()
        if abs(wall - self._steady() - self._offset) > LEAST:
            self._look()
            wall = self._wall()
        return datetime.fromtimestamp(wall, UTC)

    async def sleep(self, seconds: float) -> None:
        """Return after so long."""
        await asyncio.sleep(seconds)

    async def sleep_until(self, moment: datetime) -> None:
        """Return as soon as `moment` has come, or the clock was set."""
        jumps = self.jumps
        while (left := (moment - self.now()).total_seconds()) > 0 and self.jumps == jumps:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LONGEST_SLEEP)):
                    await self._set.wait()

    async def run(self) -> None:
        """Look for ever whether it was set, and wake those who sleep until some moment."""
        seen = self.jumps
        while True:
            await asyncio.sleep(LOOK)
            self.now()
            if self.jumps != seen:
                seen = self.jumps
                woken, self._set = self._set, asyncio.Event()
                woken.set()

    def _look(self) -> None:
        with self._lock:
            offset = self._read()
            by = offset - self._offset
            if abs(by) <= LEAST:  # somebody else has seen it, or we were stopped between two looks
                return
            self._offset = offset
            self.shift += timedelta(seconds=by)
            self.jumps += 1
            self._jumped = self._steady()
            self.last = Jump(datetime.fromtimestamp(self._wall(), UTC), timedelta(seconds=by))
        log.warning("the clock went %s: it was set, or the machine slept; time-outs are measured on", self.last)

    def _read(self) -> float:
        """How far the two clocks are apart, in seconds; read in one go, whoever stops us meanwhile."""
        while True:
            before = self._steady()
            wall = self._wall()
            if self._steady() - before < 0.1:
                return wall - before


class FakeClock:
    """A clock that stands still until `advance` is called; sleepers wake in order of their moments."""

    def __init__(self, start: datetime) -> None:
        self.shift = timedelta()
        self._passed = start.astimezone(UTC)  # the moment it would stand at if nobody had set it
        self._jumped: datetime | None = None
        self._sleepers: list[tuple[datetime, int, bool, asyncio.Future[None]]] = []  # bool: it sleeps so long
        self._order = count()

    @property
    def since_jump(self) -> float | None:
        """Seconds since it was last set."""
        return None if self._jumped is None else (self._passed - self._jumped).total_seconds()

    def now(self) -> datetime:
        """The moment it stands at, in UTC."""
        return self._passed + self.shift

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has passed so many seconds."""
        if seconds > 0:
            await self._wait(self._passed + timedelta(seconds=seconds), lasts=True)

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until `advance` has passed `moment`, or `set` is called."""
        if moment > self.now():
            await self._wait(moment - self.shift, lasts=False)

    async def _wait(self, passed: datetime, *, lasts: bool) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (passed, next(self._order), lasts, woken))
        await woken

    @property
    def next_wake(self) -> datetime | None:
        """The moment at which the next sleeper wakes; None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][3].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] + self.shift if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Turn the clock forward, waking each sleeper at its own moment and letting it act."""
        end = self._passed + timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= end:
            passed, _, _, woken = heapq.heappop(self._sleepers)
            self._passed = max(self._passed, passed)
            if not woken.done():
                woken.set_result(None)
                await asyncio.sleep(0)
        self._passed = end
        await asyncio.sleep(0)

    async def set(self, seconds: float) -> None:
        """Set the clock by so much, back if negative, without any time passing; who waits for a moment is woken."""
        self.shift += timedelta(seconds=seconds)
        self._jumped = self._passed
        for *_, lasts, woken in self._sleepers:
            if not lasts and not woken.done():
                woken.set_result(None)
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[3].done()]
        heapq.heapify(self._sleepers)
        await asyncio.sleep(0)
