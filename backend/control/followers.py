"""Starts the runs that follow others: each end of a run counts once for each schedule that waits for its pipeline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from backend.clock import Clock
from backend.control.firing import Firings
from backend.errors import StoreError
from backend.run.state import Run, RunState
from backend.schedule.follow import Ended, concerns, follow
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.base import Batch, Condition, Delete, Put, Store
from backend.store.catalogue import Catalogue
from backend.store.codec import decode, encode
from backend.store.feed import Feed, Lost
from backend.store.records import Latest, digest

log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds after an error of the store
SOON = 0.1  # seconds for which what is over may stay
MOST_OVER = 100


class Followers:
    """Handles every `ended/` key, one after another. Its value names the schedules for which it has counted already:
    each is written together with the schedule, so that none counts twice, whoever takes over.
    """

    def __init__(
        self, store: Store, feed: Feed, catalogue: Catalogue, clock: Clock, fence: Callable[[], list[Condition]]
    ) -> None:
        self._store = store
        self._feed = feed
        self._firings = Firings(store, catalogue, clock)
        self._clock = clock
        self._fence = fence
        self._schedules: dict[str, tuple[Schedule, int]] = {}  # those of kind after, with their revisions
        self._over: dict[str, int] = {}  # `ended/` keys that are to be removed, with their revisions
        self._due: float | None = None  # when, by the loop's clock

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                await self._follow()
            except Lost:
                log.info("ended runs are listed again")
            except StoreError as error:
                log.warning("cannot start what follows: %s; trying again", error)
                await self._clock.sleep(_PAUSE)

    async def _follow(self) -> None:
        with self._feed.subscribe(keys.SCHEDULES, keys.ENDED) as changes:
            self._schedules.clear()
            self._over.clear()
            self._due = None
            async for page in self._store.scan(keys.SCHEDULES):
                for item in page.items:
                    self._learn(item.key, item.value, item.modified)
            async for page in self._store.scan(keys.ENDED):
                for item in page.items:
                    await self._handle(item.key, item.value, item.modified)
                    if len(self._over) >= MOST_OVER:
                        await self._forget()
            if self._over:
                await self._forget()
            while True:
                try:
                    async with asyncio.timeout_at(self._due):
                        batch = await changes.next()
                except TimeoutError:
                    await self._forget()
                else:
                    await self._hear(batch)

    async def _hear(self, batch: Batch) -> None:
        for change in batch.changes:
            if change.key.startswith(keys.SCHEDULES):
                self._learn(change.key, change.value, change.modified)
        for change in batch.changes:
            if change.key.startswith(keys.ENDED) and change.value == b"":  # others are our own
                await self._handle(change.key, change.value, change.modified)
        if len(self._over) >= MOST_OVER:
            await self._forget()
        elif self._over and self._due is None:
            self._due = asyncio.get_running_loop().time() + SOON

    def _learn(self, key: str, value: bytes | None, modified: int) -> None:
        name = key.removeprefix(keys.SCHEDULES)
        if name in self._schedules and modified <= self._schedules[name][1]:
            return
        self._schedules.pop(name, None)
        if value is None:
            return
        try:
            schedule = decode(value, Schedule)
        except msgspec.DecodeError as error:
            log.error("schedule %s cannot be read: %s", name, error)
            return
        if schedule.kind == "after":
            self._schedules[name] = (schedule, modified)

    async def _handle(self, key: str, value: bytes, modified: int) -> None:
        """Count the end of a run for every schedule that it concerns, then forget that it ended."""
        counted = decode(value, list[str]) if value else []
        ended = await self._ended(key)
        if ended is not None:
            what = await self._what(ended)
            for name in sorted(n for n, (s, _) in self._schedules.items() if concerns(s, ended.pipeline)):
                while name not in counted:
                    found = await self._count(key, modified, name, counted, ended, what)
                    if found is None:
                        return  # it was retried and ended again: that is handled in its turn
                    if found == 0:
                        continue  # the schedule has changed
                    if found > 0:
                        modified = found
                    counted.append(name)
        # A run that was retried and ended again has a newer key: that one is handled in its turn.
        self._over[key] = modified

    async def _forget(self) -> None:
        """Remove the keys of ends that have been counted; until then they would be counted once more, for nobody."""
        (over, self._over), self._due = (self._over, {}), None
        conditions = [Condition(key, modified=modified) for key, modified in over.items()]
        made = await self._store.commit([*self._fence(), *conditions], [Delete(key) for key in over])
        if made is None:  # some run was retried and ended again
            for condition in conditions:
                await self._store.commit([*self._fence(), condition], [Delete(condition.key)])

    async def _ended(self, key: str) -> Run | None:
        """The run, if anything waits for its pipeline."""
        if not self._schedules:
            return None
        found = await self._store.get(keys.run(key.removeprefix(keys.ENDED)))
        ended = decode(found.value, Run) if found else None
        return ended if ended and any(concerns(s, ended.pipeline) for s, _ in self._schedules.values()) else None

    async def _what(self, ended: Run) -> Ended:
        """What the schedules are asked about: with the hashes of its outputs, if they are its pipeline's latest."""
        outputs: dict[str, str] = {}
        if ended.state is RunState.SUCCEEDED and (found := await self._store.get(keys.latest(ended.pipeline))):
            latest = decode(found.value, Latest)
            if latest.run == ended.id:
                outputs = {name: digest(entries) for name, entries in latest.outputs.items()}
        return Ended(ended.pipeline, ended.state.value, ended.logical_time, outputs)

    async def _count(
        self, key: str, modified: int, name: str, counted: list[str], ended: Run, what: Ended
    ) -> int | None:
        """Count it for a schedule: the new revision of `key`, -1 if nothing was to be written.

        0 if the schedule has changed (look again), None if the run ended once more.
        """
        if name not in self._schedules:
            return -1
        schedule, before = self._schedules[name]
        found = follow(schedule, what, self._clock.now())
        if found is None:
            return -1
        after, run = found.schedule, None
        if found.moment is not None:
            run, message = await self._firings.after(after, ended, found.moment)
            last = run.id if run else after.last_run
            after = msgspec.structs.replace(after, last_tick=ended.ended, last_run=last, message=message)
        mark = Put(key, encode([*counted, name]))
        guard = [*self._fence(), Condition(key, modified=modified)]
        revision = await self._firings.write(guard, after, before, run, mark)
        if revision is not None:
            self._schedules[name] = (after, revision)
            return revision
        return await self._why_not(key, modified, name, before)

    async def _why_not(self, key: str, modified: int, name: str, before: int) -> int | None:
        mark, found = await self._store.get_many([key, keys.schedule(name)])
        if mark is None or mark.modified != modified:
            return None
        if found is not None and found.modified == before:
            raise StoreError("this daemon leads no longer")
        self._schedules.pop(name, None)
        if found is not None:
            self._learn(found.key, found.value, found.modified)
        return 0
