"""Makes runs when schedules say so: each tick at most one, whatever crashes.

What wakes it is its own alarm or, on Kubernetes, mostly a tick that waits in the cluster (see `cronjobs`). What is due
follows from the schedule and the time alone, so that it does not matter who woke it, how late, or how often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from backend.clock import Clock
from backend.control.firing import Firings
from backend.control.timers import Timers
from backend.errors import KhanError, StoreError
from backend.run.state import Run
from backend.schedule.model import Schedule
from backend.schedule.ticks import Due, due, settled, ticked
from backend.store import keys
from backend.store.base import Condition, Store
from backend.store.catalogue import Catalogue
from backend.store.codec import decode
from backend.store.feed import Feed, Lost

log = logging.getLogger(__name__)
_AT_ONCE = 128  # commits under way
_PAUSE = 1.0  # seconds after an error of the store


class Mirror(Protocol):
    """Somebody else who keeps time for schedules, and calls `Ticker.ring`."""

    def learned(self, name: str, schedule: Schedule | None) -> None:
        """This is what is known of a schedule now; None: there is none of that name."""
        ...

    def listed(self) -> None:
        """All that there are have been said."""
        ...

    def now(self, name: str, now: datetime) -> datetime:
        """The time that counts for a schedule: no earlier than a tick that is there already."""
        ...

    def alarm(self, name: str, moment: datetime) -> datetime:
        """When to look by ourselves at what is due at `moment`."""
        ...


class Ticker:
    """All schedules in mind, an alarm for each that will fire, and one transaction per tick."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        catalogue: Catalogue,
        clock: Clock,
        fence: Callable[[], list[Condition]],
        mirror: Mirror | None = None,
    ) -> None:
        self._store = store
        self._feed = feed
        self._firings = Firings(store, catalogue, clock)
        self._clock = clock
        self._fence = fence
        self._mirror = mirror
        self._known: dict[str, tuple[Schedule, int]] = {}  # with the revision that last changed it
        self._firing: dict[str, asyncio.Task[None]] = {}
        self._timers = Timers(clock, self.ring)
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Fire for ever."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._timers.run())
            while True:
                try:
                    await self._follow()
                except Lost:
                    log.info("schedules are listed again")
                except StoreError as error:
                    log.warning("cannot list schedules: %s", error)
                    await self._pause()

    async def _follow(self) -> None:
        with self._feed.subscribe(keys.SCHEDULES) as changes:
            found: set[str] = set()
            async for page in self._store.scan(keys.SCHEDULES):
                for item in page.items:
                    found.add(item.key.removeprefix(keys.SCHEDULES))
                    self._learn(item.key, item.value, item.modified)
            for name in self._known.keys() - found:
                self._forget(name)
            if self._mirror is not None:
                self._mirror.listed()
            async for batch in changes:
                for change in batch.changes:
                    self._learn(change.key, change.value, change.modified)

    def _learn(self, key: str, value: bytes | None, modified: int) -> None:
        name = key.removeprefix(keys.SCHEDULES)
        if name in self._known and modified <= self._known[name][1]:
            return
        if value is None:
            self._forget(name)
            return
        try:
            schedule = decode(value, Schedule)
        except msgspec.DecodeError as error:
            log.error("schedule %s cannot be read: %s", name, error)
            self._forget(name)
            return
        if schedule.last_tick is None and schedule.created is None:
            schedule = msgspec.structs.replace(schedule, last_tick=self._clock.now())
        self._keep(name, schedule, modified)
        self.ring(name)

    def _keep(self, name: str, schedule: Schedule, modified: int) -> None:
        self._known[name] = (schedule, modified)
        if self._mirror is not None:
            self._mirror.learned(name, schedule)

    def _forget(self, name: str) -> None:
        self._known.pop(name, None)
        self._timers.set(name, None)
        if self._mirror is not None:
            self._mirror.learned(name, None)

    def ring(self, name: str) -> None:
        """Fire what is due of it, or set its alarm."""
        if name not in self._known or name in self._firing:
            return  # whoever fires it looks again at the end
        schedule, _ = self._known[name]
        decision = self._decide(name, schedule)
        if decision.ticks or settled(schedule, decision) != schedule:
            self._timers.set(name, None)
            self._firing[name] = self._tasks.create_task(self._fire(name))
        else:
            at = decision.next
            self._timers.set(name, self._mirror.alarm(name, at) if self._mirror and at else at)

    def _decide(self, name: str, schedule: Schedule) -> Due:
        now = self._clock.now()
        try:
            return due(schedule, self._mirror.now(name, now) if self._mirror else now)
        except KhanError as error:  # it was checked when it was stored, but zones come and go
            return Due((), schedule.last_tick, None, schedule.done, error.message)

    async def _fire(self, name: str) -> None:
        try:
            while name in self._known:
                schedule, _ = self._known[name]
                decision = self._decide(name, schedule)
                if not decision.ticks and settled(schedule, decision) == schedule:
                    break
                try:
                    await self._carry_out(name, decision)
                except StoreError as error:
                    log.warning("schedule %s: %s; trying again", name, error)
                    await self._pause()
        finally:
            del self._firing[name]
        self.ring(name)

    async def _carry_out(self, name: str, decision: Due) -> None:
        """Make each tick's run and note it, in order; ends early if the schedule has changed meanwhile."""
        for tick in decision.ticks:
            schedule, modified = self._known[name]
            async with self._places:
                run, message = await self._firings.of_tick(schedule, tick)
                after = ticked(schedule, decision, tick, run.id if run else "", message)
                if not await self._commit(name, modified, after, run):
                    return
        if not decision.ticks:
            schedule, modified = self._known[name]
            async with self._places:
                await self._commit(name, modified, settled(schedule, decision), None)

    async def _commit(self, name: str, modified: int, schedule: Schedule, run: Run | None) -> bool:
        """Whether `schedule` was written, with its run; otherwise what is known of it is read again."""
        revision = await self._firings.write(self._fence(), schedule, modified, run)
        if revision is not None:
            if name in self._known and revision > self._known[name][1]:
                self._keep(name, schedule, revision)
            return name in self._known and self._known[name][1] == revision
        key = keys.schedule(name)
        found = await self._store.get(key)
        if found is None:
            self._forget(name)
        elif found.modified == modified:
            await self._pause()  # we lead no longer, and are about to be told
        else:
            self._known.pop(name, None)
            self._learn(key, found.value, found.modified)
        return False

    async def note(self, name: str, message: str) -> None:
        """Have a schedule say something, until its next tick. Raises StoreError."""
        while name in self._known and self._known[name][0].message != message:
            schedule, modified = self._known[name]
            if await self._commit(name, modified, msgspec.structs.replace(schedule, message=message), None):
                return

    async def _pause(self) -> None:
        await self._clock.sleep(_PAUSE)
