"""Makes the runs of backfills, so many at once as each allows: for every logical time one, whatever crashes.

What is next follows from the backfill and from how its runs are, at whatever time that is looked at. A run is written
in one transaction with the backfill that moves on, and so is what is counted of one that has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from backend.clock import Clock
from backend.errors import InvalidRequest, NotFound, StoreError
from backend.run.create import check_parameters, new_run
from backend.run.ids import new_id
from backend.run.state import Run, Trigger
from backend.schedule.backfill import Backfill, closed, has_room, left, made, moments, pick, settled
from backend.store import keys
from backend.store.base import Batch, Condition, Delete, Put, Store
from backend.store.catalogue import Catalogue, Loaded
from backend.store.codec import decode, encode
from backend.store.feed import Feed, Lost
from backend.store.good import good_runs, note_good
from backend.store.records import create_run
from backend.zones import zone_of

log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds after an error of the store
_MANY = 500  # logical times that are worked out in a thread of their own: of 10,000 it takes 0.3 s
_AHEAD = 200  # logical times that are looked at together for whether they are good already


class Backfills:
    """All backfills that have not ended, one step of one of them at a time."""

    def __init__(
        self, store: Store, feed: Feed, catalogue: Catalogue, clock: Clock, fence: Callable[[], list[Condition]]
    ) -> None:
        self._store = store
        self._feed = feed
        self._catalogue = catalogue
        self._clock = clock
        self._fence = fence
        self._known: dict[str, tuple[Backfill, int]] = {}  # with the revision that last changed it
        self._times: dict[str, list[datetime]] = {}
        self._waits: dict[str, str] = {}  # the key of an active run -> its backfill

    async def run(self) -> None:
        """Fill for ever."""
        while True:
            try:
                await self._follow()
            except Lost:
                log.info("backfills are listed again")
            except StoreError as error:
                log.warning("backfills cannot go on: %s; trying again", error)
                await self._clock.sleep(_PAUSE)

    async def _follow(self) -> None:
        await note_good(self._store, self._fence)
        with self._feed.subscribe(keys.BACKFILLS, keys.RUNS) as changes:
            for identifier in tuple(self._known):
                self._forget(identifier)
            async for page in self._store.scan(keys.BACKFILLS):
                for item in page.items:
                    self._learn(item.key, item.value, item.modified)
            for identifier in tuple(self._known):
                await self._drive(identifier)
            async for batch in changes:
                for identifier in self._concerned(batch):
                    await self._drive(identifier)

    def _concerned(self, batch: Batch) -> list[str]:
        """The backfills that something has happened to, or to a run of theirs."""
        found: dict[str, None] = {}
        for change in batch.changes:
            if change.key.startswith(keys.BACKFILLS):
                self._learn(change.key, change.value, change.modified)
                found[change.key.removeprefix(keys.BACKFILLS)] = None
            elif change.key in self._waits and (change.value is None or decode(change.value, Run).state.ended):
                found[self._waits[change.key]] = None
        return list(found)

    def _learn(self, key: str, value: bytes | None, modified: int) -> None:
        identifier = key.removeprefix(keys.BACKFILLS)
        if identifier in self._known and modified <= self._known[identifier][1]:
            return
        try:
            backfill = decode(value, Backfill) if value is not None else None
        except msgspec.DecodeError as error:
            log.error("backfill %s cannot be read: %s", identifier, error)
            backfill = None
        if backfill is None or backfill.ended is not None:
            self._forget(identifier)
        else:
            self._keep(backfill, modified)

    def _keep(self, backfill: Backfill, modified: int) -> None:
        if backfill.id in self._known:
            for run in self._known[backfill.id][0].active:
                self._waits.pop(keys.run(run), None)
        self._known[backfill.id] = (backfill, modified)
        for run in backfill.active:
            self._waits[keys.run(run)] = backfill.id

    def _forget(self, identifier: str) -> None:
        backfill, _ = self._known.pop(identifier, (None, 0))
        self._times.pop(identifier, None)
        for run in backfill.active if backfill else ():
            self._waits.pop(keys.run(run), None)

    async def _drive(self, identifier: str) -> None:
        """Have it do all that it can do now."""
        while identifier in self._known:
            backfill, modified = self._known[identifier]
            after, run = await self._step(backfill)
            if after == backfill:
                return
            await self._commit(after, modified, run)

    async def _step(self, backfill: Backfill) -> tuple[Backfill, Run | None]:
        """The backfill as it is next, with the run that it makes."""
        backfill, run = settled(backfill, await self._ends(backfill)), None
        try:
            times = await self._all(backfill)
            ahead = left(backfill, times)
            if has_room(backfill) and ahead:
                backfill, run = await self._fill(backfill, ahead[:_AHEAD])
            more = bool(left(backfill, times))
        except (NotFound, InvalidRequest) as error:  # it was checked when it was made, but pipelines and zones change
            halted = replace(backfill, state="paused" if backfill.state == "running" else backfill.state)
            return closed(replace(halted, message=error.message), True, self._clock.now()), None
        return closed(backfill, more, self._clock.now()), run

    async def _all(self, backfill: Backfill) -> list[datetime]:
        if backfill.id not in self._times:
            wanted = (backfill.steps, backfill.start, backfill.end)
            large = backfill.total > _MANY
            self._times[backfill.id] = await asyncio.to_thread(moments, *wanted) if large else moments(*wanted)
        return self._times[backfill.id]

    async def _ends(self, backfill: Backfill) -> dict[str, str]:
        """Those of its active runs that have ended: the states that they ended in. One that is gone had ended."""
        found = await self._store.get_many([keys.run(run) for run in backfill.active]) if backfill.active else []
        states = {n: decode(kv.value, Run).state if kv else None for n, kv in zip(backfill.active, found, strict=True)}
        return {n: s.value if s else "cancelled" for n, s in states.items() if s is None or s.ended}

    async def _fill(self, backfill: Backfill, ahead: Sequence[datetime]) -> tuple[Backfill, Run | None]:
        """Pass over what is good, and make one run. Raises NotFound or InvalidRequest for what keeps it from that."""
        loaded = await self._catalogue.current(backfill.pipeline)
        parameters = check_parameters(loaded.pipeline, backfill.parameters)
        limit = loaded.pipeline.concurrency.limit
        if limit is not None and len(backfill.active) >= limit:
            return backfill, None  # one more would only wait, also through a pause of the backfill
        good = {} if backfill.rerun else await good_runs(self._store, backfill.pipeline, ahead, parameters)
        backfill, moment = pick(backfill, ahead, good)
        if moment is None:
            return backfill, None
        run = self._made(backfill, loaded, moment)
        return made(backfill, moment, run.id), run

    def _made(self, backfill: Backfill, loaded: Loaded, moment: datetime) -> Run:
        """A run whose id follows from the backfill and the logical time: in the order in which they are made."""
        now = self._clock.now()
        begin = (backfill.created or now) + timedelta(milliseconds=backfill.dealt)
        return new_run(
            loaded.pipeline,
            loaded.plan,
            identifier=new_id(begin, seed=f"{backfill.id}:{moment.isoformat()}"),
            version=loaded.record.version,
            moment=moment.astimezone(zone_of(backfill.steps.zone)),
            now=now,
            parameters=backfill.parameters,
            trigger=Trigger("backfill", by=backfill.created_by, schedule=backfill.schedule, backfill=backfill.id),
            zone=backfill.steps.zone,
            fresh=backfill.fresh,
        )

    async def _commit(self, after: Backfill, modified: int, run: Run | None) -> None:
        """Write it down, with its run; if it has changed meanwhile, learn how."""
        key = keys.backfill(after.id)
        conditions = [*self._fence(), Condition(key, modified=modified)]
        changes: list[Put | Delete] = [Put(key, encode(after))]
        if run is not None:
            new, its = create_run(run)
            conditions, changes = conditions + new, changes + its
        revision = await self._store.commit(conditions, changes)
        if revision is not None:
            self._learn(key, encode(after), revision)
            return
        found = await self._store.get(key)
        if found is not None and found.modified == modified:
            raise StoreError(f"backfill {after.id} cannot be written: another daemon leads, or is about to")
        self._forget(after.id)
        if found is not None:
            self._learn(key, found.value, found.modified)
