"""Starts the runs that follow others: a run that succeeded starts one of each schedule that names its pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import msgspec

from backend.clock import Clock
from backend.errors import InvalidRequest, NotFound, StoreError
from backend.run.create import new_run
from backend.run.ids import new_id
from backend.run.state import Run, RunState, Trigger
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.base import Condition, Delete, Put, Store
from backend.store.catalogue import Catalogue
from backend.store.codec import decode, encode
from backend.store.feed import Feed, Lost
from backend.store.records import create_run

log = logging.getLogger(__name__)
_PAUSE = timedelta(seconds=1)  # after an error of the store


class Followers:
    """Handles every `ended/` key, one after another; ids are derived, so that each may be handled twice."""

    def __init__(
        self, store: Store, feed: Feed, catalogue: Catalogue, clock: Clock, fence: Callable[[], list[Condition]]
    ) -> None:
        self._store = store
        self._feed = feed
        self._catalogue = catalogue
        self._clock = clock
        self._fence = fence
        self._schedules: dict[str, tuple[Schedule, int]] = {}  # those of kind after, with their revisions

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                await self._follow()
            except Lost:
                log.info("ended runs are listed again")
            except StoreError as error:
                log.warning("cannot start what follows: %s; trying again", error)
                await self._clock.sleep_until(self._clock.now() + _PAUSE)

    async def _follow(self) -> None:
        with self._feed.subscribe(keys.SCHEDULES, keys.ENDED) as changes:
            self._schedules.clear()
            async for page in self._store.scan(keys.SCHEDULES):
                for item in page.items:
                    self._learn(item.key, item.value, item.modified)
            async for page in self._store.scan(keys.ENDED):
                for item in page.items:
                    await self._handle(item.key, item.modified)
            async for batch in changes:
                for change in batch.changes:
                    if change.key.startswith(keys.SCHEDULES):
                        self._learn(change.key, change.value, change.modified)
                for change in batch.changes:
                    if change.key.startswith(keys.ENDED) and change.value is not None:
                        await self._handle(change.key, change.modified)

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

    async def _handle(self, key: str, modified: int) -> None:
        """Start what follows a run, then forget that it ended."""
        found = await self._store.get(keys.run(key.removeprefix(keys.ENDED)))
        ended = decode(found.value, Run) if found else None
        if ended is not None and ended.state is RunState.SUCCEEDED:
            for name in sorted(n for n, (s, _) in self._schedules.items() if ended.pipeline in s.after):
                while not await self._started(name, ended):
                    pass
        # A run that was retried and ended again has a newer key: that one is handled in its turn.
        await self._store.commit([*self._fence(), Condition(key, modified=modified)], [Delete(key)])

    async def _started(self, name: str, ended: Run) -> bool:
        """Whether that schedule is done with `ended`; False if the schedule has changed: look again."""
        if name not in self._schedules:
            return True
        schedule, modified = self._schedules[name]
        if schedule.paused or ended.pipeline not in schedule.after:
            return True
        run, message = await self._new_run(schedule, ended)
        if run is not None and await self._store.get(keys.run(run.id)) is not None:
            return True
        key = keys.schedule(name)
        after = msgspec.structs.replace(
            schedule,
            last_tick=ended.ended,
            last_run=run.id if run else schedule.last_run,
            message=message,
        )
        conditions, changes = create_run(run) if run else ([], [])
        noted: list[Put | Delete] = [Put(key, encode(after)), *changes]
        guard = [*self._fence(), Condition(key, modified=modified), *conditions]
        revision = await self._store.commit(guard, noted)
        if revision is not None:
            self._schedules[name] = (after, revision)
            return True
        found = await self._store.get(key)
        if found is not None and found.modified == modified:
            raise StoreError("this daemon leads no longer")
        self._schedules.pop(name, None)
        if found is not None:
            self._learn(key, found.value, found.modified)
        return False

    async def _new_run(self, schedule: Schedule, ended: Run) -> tuple[Run | None, str]:
        now = self._clock.now()
        try:
            loaded = await self._catalogue.current(schedule.pipeline)
            run = new_run(
                loaded.pipeline,
                loaded.plan,
                identifier=new_id(ended.ended or now, seed=f"{schedule.name}:{ended.id}"),
                version=loaded.record.version,
                moment=ended.logical_time,
                now=now,
                parameters=schedule.parameters,
                trigger=Trigger(kind="after", schedule=schedule.name, run=ended.id),
                zone=ended.zone,
            )
        except (NotFound, InvalidRequest) as error:
            return None, f"the run after {ended.id} was not made: {error.message}"
        return run, ""
