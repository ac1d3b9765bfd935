"""A store with pipelines and schedules, and processes that watch it: what tests of ticks and followers share."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from backend.clock import FakeClock
from backend.control.backfills import Backfills
from backend.control.followers import Followers
from backend.control.ticks import Ticker
from backend.errors import StoreUnavailable
from backend.run.create import new_run
from backend.run.ids import new_id
from backend.run.state import ArtifactRecord, Run, RunState, Trigger
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.base import Condition, Delete, Put
from backend.store.catalogue import Catalogue
from backend.store.codec import decode, encode
from backend.store.feed import Feed
from backend.store.memory import MemoryStore
from backend.store.records import Entry, Latest, PipelineHead, Version, change_run, create_run

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TURNS = 300  # of the loop; far more than anything here needs
DOCUMENT = {
    "name": "p",
    "parameters": {"region": {"default": "all"}},
    "environment": {"R": "${parameters.region}"},
    "stages": {"a": {"image": "shell", "script": "true"}},
}


class Flaky(MemoryStore):
    """A store whose commits fail now and then: `fails` says of which, and whether they were carried out."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.commits = 0
        self.fails: dict[int, str] = {}

    async def commit(self, conditions: list[Condition], changes: list[Put | Delete]) -> int | None:
        self.commits += 1
        how = self.fails.get(self.commits, "")
        if how == "before":
            raise StoreUnavailable("away")
        revision = await super().commit(conditions, changes)
        if how == "after":
            raise StoreUnavailable("away")
        return revision


class Scene:
    """A store with pipelines and schedules, and processes that watch it."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOON)
        self.store = Flaky(self.clock)

    async def pipeline(self, name: str = "p", **more: Any) -> None:
        await self.store.commit([], [
            Put(keys.pipeline(name), encode(PipelineHead(name, 1))),
            Put(keys.version(name, 1), encode(Version(name, 1, json.dumps(DOCUMENT | {"name": name} | more), ""))),
        ])  # fmt: skip

    async def put(self, schedule: Schedule) -> None:
        await self.store.commit([], [Put(keys.schedule(schedule.name), encode(schedule))])

    async def schedule(self, name: str = "s") -> Schedule:
        found = await self.store.get(keys.schedule(name))
        assert found is not None
        return decode(found.value, Schedule)

    async def runs(self) -> list[Run]:
        """Oldest first."""
        found = [decode(kv.value, Run) async for page in self.store.scan(keys.RUNS) for kv in page.items]
        return sorted(found, key=lambda run: (run.logical_time, run.id))

    async def end(
        self,
        pipeline: str,
        state: RunState = RunState.SUCCEEDED,
        moment: datetime = NOON,
        outputs: dict[str, str] | None = None,
    ) -> Run:
        """A run that has ended; with outputs (name -> hash) it has become its pipeline's latest."""
        loaded = await Catalogue(self.store).current(pipeline)
        queued = new_run(loaded.pipeline, loaded.plan, identifier=new_id(moment), version=1, moment=moment,
                         now=moment, parameters={}, trigger=Trigger())  # fmt: skip
        await self.store.commit(*create_run(queued))
        ended = replace(queued, state=state, ended=moment + timedelta(seconds=5))
        changes = change_run(queued, ended)
        if outputs is not None:
            entries = {name: (Entry("", ArtifactRecord("file", 1, 1, sha)),) for name, sha in outputs.items()}
            latest = Latest(ended.id, moment, moment + timedelta(seconds=5), entries)
            changes.append(Put(keys.latest(pipeline), encode(latest)))
        await self.store.commit([], changes)
        return ended

    @contextlib.asynccontextmanager
    async def watching(self, *kinds: type[Ticker] | type[Followers] | type[Backfills]) -> AsyncIterator[None]:
        """A process, until it is killed."""
        feed = Feed(self.store)
        tasks = [asyncio.create_task(feed.run())]
        await feed.started.wait()
        for kind in kinds or (Ticker,):
            worker = kind(self.store, feed, Catalogue(self.store), self.clock, list)
            tasks.append(asyncio.create_task(worker.run()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self, turns: int = TURNS) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def live(self, until: datetime) -> None:
        """Let time pass, from alarm to alarm; what an alarm brings about is over before the next."""
        while (wake := self.clock.next_wake) is not None and wake <= until:
            await self.clock.advance((wake - self.clock.now()).total_seconds())
            await self.calm()
        await self.clock.advance((until - self.clock.now()).total_seconds())
        await self.calm()

    async def calm(self) -> None:
        """Wait until nothing is under way."""
        await self.settle(60)

    async def advance(self, **span: float) -> None:
        """Let time pass, in steps that no alarm of these tests can be missed in."""
        left = timedelta(**span)
        while left:
            step = min(left, timedelta(minutes=10))
            await self.clock.advance(step.total_seconds())
            await self.settle(40)
            left -= step
        await self.settle()
