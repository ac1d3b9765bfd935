"""Removes ended runs with their logs and artifacts: when their document says so, or else the daemon's settings.

A run is removed from the store first, in one transaction that leaves a mark; then its files are, and then the mark. So
nothing is shown that is half gone, and nothing stays behind, whenever this process ends. A run whose content others
have as theirs stays until they are gone, and so does the one whose outputs are the pipeline's latest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from backend.artifacts import ArtifactStore
from backend.clock import Clock, doubted
from backend.control.timers import Timers
from backend.control.workqueue import WorkQueue
from backend.errors import NotFound, StoreError
from backend.logs import LogStore
from backend.run.retention import leaves
from backend.run.state import Run
from backend.spec.model import Retention
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put, Store
from backend.store.catalogue import Catalogue
from backend.store.codec import decode, encode
from backend.store.feed import Feed, Lost
from backend.store.records import External, delete_run
from backend.store.results import forget, origins_of, unheld

log = logging.getLogger(__name__)

PAGE = 100  # runs that are looked at together
CHUNK = 100  # changes in one transaction
LATER = timedelta(hours=1)  # after which is looked again at what runs
_PAUSE = 1.0  # seconds after an error of the store
_FOREVER = Retention()
SPARED = timedelta(days=1)  # after it was asked for, an input from outside stays though no run has it yet
_INPUTS = "inputs from outside"  # among the names of things to be seen to
_FILES = "files of "  # before a run's id, among the names of things to be seen to


class Retaining:
    """Sees to every pipeline when one of its runs has ended, when its document changes, and when the time has come."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        catalogue: Catalogue,
        artifacts: ArtifactStore,
        logs: LogStore,
        clock: Clock,
        fence: Callable[[], list[Condition]],
        usual: Retention = _FOREVER,
    ) -> None:
        """`usual` is for pipelines whose document says nothing."""
        self._store = store
        self._feed = feed
        self._catalogue = catalogue
        self._artifacts = artifacts
        self._logs = logs
        self._clock = clock
        self._fence = fence
        self._usual = usual
        self._queue = WorkQueue(self._see_to, workers=1)
        self._timers = Timers(clock, self._queue.add)
        self._wanted: set[str] = set()  # pipelines of which not all runs stay

    async def run(self) -> None:
        """Remove for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run())
            tasks.create_task(self._timers.run())
            while True:
                try:
                    await self._follow()
                except Lost:
                    log.info("what is to be removed is listed again")
                except StoreError as error:
                    log.warning("cannot list what is to be removed: %s", error)
                    await asyncio.sleep(_PAUSE)

    async def _follow(self) -> None:
        with self._feed.subscribe(keys.PIPELINES, keys.BY_PIPELINE, keys.REMOVING) as changes:
            self._queue.add(_INPUTS)
            async for page in self._store.scan(keys.REMOVING):
                for item in page.items:
                    self._queue.add(_FILES + item.key.removeprefix(keys.REMOVING))
            async for page in self._store.scan(keys.PIPELINES):
                for item in page.items:
                    self._queue.add(item.key.removeprefix(keys.PIPELINES))
            async for batch in changes:
                for change in batch.changes:
                    self._hear(change.key, gone=change.value is None)

    def _hear(self, key: str, *, gone: bool) -> None:
        if key.startswith(keys.PIPELINES):
            self._queue.add(key.removeprefix(keys.PIPELINES))
        elif key.startswith(keys.REMOVING) and not gone:
            self._queue.add(_FILES + key.removeprefix(keys.REMOVING))
        elif key.startswith(keys.BY_PIPELINE) and not gone and (name := key.split("/")[1]) in self._wanted:
            self._queue.add(name)  # there is one more

    async def _see_to(self, name: str) -> None:
        if name.startswith(_FILES):
            await self._clean(name.removeprefix(_FILES))
            return
        if doubt := doubted(self._clock):
            self._timers.set(name, self._clock.now() + timedelta(seconds=doubt))
            return
        if name == _INPUTS:
            await self._prune()
            self._timers.set(name, self._clock.now() + LATER)
            return
        retention = await self._said(name)
        if retention == _FOREVER:
            self._wanted.discard(name)
            self._timers.set(name, None)
            return
        self._wanted.add(name)
        self._timers.set(name, await self._sweep(name, retention))

    async def _said(self, name: str) -> Retention:
        try:
            said = (await self._catalogue.head(name)).retention
        except NotFound:  # it was deleted: what there is of it stays
            return _FOREVER
        return self._usual if said is None else said

    async def _sweep(self, name: str, retention: Retention) -> datetime | None:
        """Remove what has had its time, the oldest first: when the next one will have."""
        prefix = keys.by_pipeline(name)
        end, newer, following = keys.after(prefix), -1, None
        while True:
            page = await self._store.page(prefix, end, limit=PAGE, keys_only=True, descending=True)
            if newer < 0:
                newer = page.count
            ids = [keys.run_of(item.key) for item in page.items]
            for kv in await self._store.get_many([keys.run(i) for i in ids]) if ids else ():
                newer -= 1
                if kv is None:
                    continue
                run = decode(kv.value, Run)
                moment = leaves(run, newer, retention)
                if not run.state.ended:
                    following = min(following or self._clock.now() + LATER, self._clock.now() + LATER)
                elif moment is None:  # all that come are newer still, and stay for the same reason
                    return following
                elif moment > self._clock.now():
                    following = min(moment, following or moment)
                    if retention.runs is None or newer < retention.runs:
                        return following
                else:
                    await self._remove(run, kv)
            if not page.more:
                return following
            end = page.items[-1].key

    async def _remove(self, run: Run, kv: KeyValue) -> None:
        condition = await unheld(self._store, run)
        if condition is None:
            return
        try:
            plan = (await self._catalogue.load(run.pipeline, run.version)).plan
            await forget(self._store, run, plan, self._fence())
        except NotFound:
            log.info("run %s is of a version that is gone", run.id)
        origins = await origins_of(self._store, run.id)
        changes = [*delete_run(run), Put(keys.removing(run.id), encode(origins))]
        conditions = [*self._fence(), condition, Condition(keys.run(run.id), modified=kv.modified)]
        if await self._store.commit(conditions, changes) is not None:
            log.info("run %s of %s was removed: it has had its time", run.id, run.pipeline)

    async def _prune(self) -> None:
        """Remove what was brought from outside for runs that are gone."""
        used: set[str] = set()
        async for page in self._store.scan(keys.INPUTS):
            for item in page.items:
                used.update(entry.record.location for entry in decode(item.value, External).entries)
        if number := await self._artifacts.prune(used, self._clock.now() - SPARED):
            log.info("%d inputs from outside were removed: no run has them any more", number)

    async def _clean(self, run_id: str) -> None:
        """Remove the files of a run that is removed, and let go of the runs whose content it had."""
        mark = keys.removing(run_id)
        found = await self._store.get(mark)
        if found is None:
            return
        await self._artifacts.remove(run_id)
        await self._logs.remove(run_id)
        origins = decode(found.value, list[str])
        changes: list[Put | Delete] = [Delete(keys.held(origin, run_id)) for origin in origins]
        for start in range(0, len(changes), CHUNK):
            await self._store.commit(self._fence(), changes[start : start + CHUNK])
        await self._store.commit(self._fence(), [Delete(mark)])
        for kv in await self._store.get_many([keys.run(o) for o in origins]) if origins else ():
            if kv is not None and (name := decode(kv.value, Run).pipeline) in self._wanted:
                self._queue.add(name)
