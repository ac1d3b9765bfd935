"""Drives every run that has not ended: one worker a run, each a machine fed with what happens to it.

Level-based: a worker is made from the store at any time, and everything it does may be done twice. What a worker has
decided is committed first, under the leader's fence, and acted upon only then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from backend.clock import Clock
from backend.control.admission import judge
from backend.control.attempts import Attempts, why_not
from backend.control.patience import patiently
from backend.control.reuse import Reuse, without_secrets
from backend.control.tidying import Tidying
from backend.control.timers import Timers
from backend.control.worker import Worker
from backend.errors import KhanError, NotFound, StoreError, said
from backend.executors.base import AttemptKey, Executor, Observation
from backend.logs import LogStore
from backend.notify.notices import notices
from backend.run.machine import Changed, Ending, Machine, StartAttempt
from backend.run.state import Reason, Run, RunState
from backend.store import keys
from backend.store.base import Batch, Change, Condition, Delete, Put, Store
from backend.store.catalogue import Catalogue
from backend.store.codec import decode, encode
from backend.store.feed import Feed, Lost
from backend.store.records import Command, change_run
from backend.store.results import hold, kept
from backend.telemetry import RunTelemetry

log = logging.getLogger(__name__)


CHUNK = 110  # changes in one transaction; etcd takes 128
SKEW = timedelta(seconds=5)  # by which the clocks of two machines may differ without anybody minding
SOON = timedelta(milliseconds=200)  # how long news that nothing depends on may wait to be written down


class Parts(Struct, frozen=True):
    """What the controller works with."""

    store: Store
    feed: Feed
    catalogue: Catalogue
    executor: Executor
    attempts: Attempts
    logs: LogStore
    clock: Clock
    telemetry: RunTelemetry = field(default_factory=RunTelemetry)


class RunController:
    """All runs that have not ended."""

    def __init__(self, parts: Parts, fence: Callable[[], list[Condition]], *, slots: int) -> None:
        self._parts = parts
        self._reuse = Reuse(parts.store, parts.attempts.artifacts, parts.attempts, parts.executor, parts.clock)
        self._fence = fence
        self._slots = slots
        self._used = 0
        self._workers: dict[str, Worker] = {}
        self._by_pipeline: dict[str, dict[str, Worker]] = {}
        self._hungry: OrderedDict[str, None] = OrderedDict()  # runs that wait for a slot, first come first
        self._patient: OrderedDict[str, None] = OrderedDict()  # those of backfills: once no other waits
        self._timers = Timers(parts.clock, self._kick_id)
        self._tasks: asyncio.TaskGroup
        self._tidying = Tidying(parts.logs, parts.executor, busy=lambda: self._used > 0)
        self._swept = False

    @property
    def load(self) -> tuple[int, int]:
        """How many attempts are under way, and how many runs wait for a place."""
        return self._used, len(self._hungry) + len(self._patient)

    async def run(self) -> None:
        """Drive runs until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._timers.run())
            self._tasks.create_task(self._observe())
            self._tasks.create_task(self._tidying.run())
            while True:
                try:
                    await self._follow()
                except Lost:
                    log.warning("missed changes of the store: listing everything again")
                except StoreError as error:
                    log.warning("cannot follow the store: %s", error)
                    await asyncio.sleep(0.2)

    # what reaches it

    async def _follow(self) -> None:
        with self._parts.feed.subscribe(keys.RUNS, keys.COMMANDS) as changes:
            await self._list()
            if not self._swept:
                self._swept = True
                active = frozenset(self._workers)
                self._spawn(self._tidying.sweep(active))
            async for batch in changes:
                self._hear(batch)

    async def _list(self) -> None:
        """Everything that has not ended, and everything that was asked."""
        store = self._parts.store
        async for page in store.scan(keys.ACTIVE):
            ids = [item.key.removeprefix(keys.ACTIVE) for item in page.items if item.key]
            for start in range(0, len(ids), CHUNK):
                some = ids[start : start + CHUNK]
                for found in await store.get_many([keys.run(i) for i in some]):
                    if found is not None:
                        self._meet(decode(found.value, Run), found.modified)
        async for page in store.scan(keys.COMMANDS):
            for item in page.items:
                self._command(Change(item.key, item.value, item.modified, item.created))
        for worker in tuple(self._workers.values()):
            self._kick(worker)

    def _hear(self, batch: Batch) -> None:
        for change in batch.changes:
            if change.key.startswith(keys.COMMANDS):
                self._command(change)
            elif change.value is not None and change.created == change.modified:
                self._kick(self._meet(decode(change.value, Run), change.modified, new=True))

    def _meet(self, run: Run, modified: int, *, new: bool = False) -> Worker:
        worker = self._workers.get(run.id)
        if worker is None:
            worker = self._workers[run.id] = Worker(run, modified, self._parts.clock.shift, new=new)
            self._by_pipeline.setdefault(run.pipeline, {})[run.id] = worker
        return worker

    def _command(self, change: Change) -> None:
        if change.value is None:
            return
        _, run_id, command_id = change.key.split("/")
        command = decode(change.value, Command)
        self._spawn(self._ask(run_id, command_id, command))

    async def _ask(self, run_id: str, command_id: str, command: Command) -> None:
        if run_id not in self._workers:
            found = await patiently(lambda: self._parts.store.get(keys.run(run_id)))
            if found is None:
                return
            self._meet(decode(found.value, Run), found.modified)
        worker = self._workers[run_id]
        worker.commands[command_id] = command
        self._kick(worker)

    async def _observe(self) -> None:
        async for batch in self._parts.executor.observe():
            for seen in batch:
                worker = self._workers.get(seen.key.run)
                if worker is None or worker.machine is None:
                    continue
                if seen.state in ("waiting", "running"):
                    if seen.state == "running":
                        self._parts.telemetry.running(seen.key, seen.at)
                    worker.started.append(seen)
                    self._timers.set(f"{seen.key.run} ", self._parts.clock.now() + SOON)
                else:
                    self._spawn(self._conclude(worker, worker.machine, seen))

    async def _conclude(self, worker: Worker, machine: Machine, seen: Observation) -> None:
        key = seen.key
        self._parts.logs.end(*key)  # before anybody can hear that it has ended
        read = worker.read.get((key.stage, key.number), {})
        ending = await patiently(lambda: self._parts.attempts.conclude(machine, read, seen))
        cached = worker.cached.pop((key.stage, key.number), None)
        if cached is not None and ending.reason is Reason.OK:
            made_from = await patiently(lambda: self._reuse.made_from(cached, seen.image))
            worker.made_from[key.stage] = made_from
            ending = replace(ending, fingerprint=made_from.digest)
        self._parts.telemetry.published(key, seen.at, self._parts.clock.now())
        worker.ended.append((key.stage, key.number, ending))
        self._kick(worker)

    # a worker's turn

    def _kick_id(self, run_id: str) -> None:
        worker = self._workers.get(run_id.strip())
        if worker is not None:
            self._kick(worker)

    def _kick(self, worker: Worker) -> None:
        if not worker.dirty:
            worker.dirty, worker.kicked = True, time.perf_counter()
        if not worker.busy:
            worker.busy = True
            self._spawn(self._drain(worker))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        contained = _contained(work)
        try:
            self._tasks.create_task(contained)
        except RuntimeError:  # we are being stopped: whoever leads next finds what was to be done
            contained.close()
            work.close()

    async def _drain(self, worker: Worker) -> None:
        pause = 0.05
        try:
            while worker.dirty:
                worker.dirty = False
                self._parts.telemetry.lagged(time.perf_counter() - worker.kicked)
                try:
                    await self._turn(worker)
                    pause = 0.05
                except Exception as error:
                    if isinstance(error, StoreError):
                        log.warning("run %s: %s; again in %.1f s", worker.run.id, error, pause)
                    else:
                        log.exception("run %s: again in %.1f s", worker.run.id, pause)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 5.0)
                    self._reset(worker)
                    worker.dirty = True
        finally:
            worker.busy = False
        if worker.run.state.ended and not worker.commands and not worker.dirty:
            self._dismiss(worker)

    async def _turn(self, worker: Worker) -> None:
        if worker.machine is None and not await self._load(worker):
            return
        machine = worker.machine
        assert machine is not None
        now = self._parts.clock.now()
        worker.keep_time(machine, self._parts.clock)
        worker.feed(machine, now)
        self._admit(machine, now)
        machine.tick(now)
        self._fill(worker, machine, now)
        changed = machine.take()
        if changed is not None or worker.taken:
            await self._commit(worker, machine, changed)
        self._recount(worker)
        for name in machine.seek():
            self._spawn(self._seek(worker, machine, name))
        self._timers.set(worker.run.id, machine.next_wake())

    async def _load(self, worker: Worker) -> bool:
        """Make the worker's machine from the store, and pick up what was under way. False if that cannot be."""
        parts, run_id = self._parts, worker.run.id
        if not worker.new:
            found = await parts.store.get(keys.run(run_id))
            if found is None:
                worker.commands.clear()
                self._dismiss(worker)
                return False
            if found.modified != worker.modified:  # what was decided last was written down, though nobody said so
                worker.noted = worker.shift
            worker.run, worker.modified = decode(found.value, Run), found.modified
        worker.shift = worker.noted
        try:
            worker.loaded = await parts.catalogue.load(worker.run.pipeline, worker.run.version)
        except NotFound as error:
            await self._give_up(worker, error)
            return False
        worker.machine = await worker.revive(parts.store, parts.catalogue)
        if (ahead := worker.machine.ahead(parts.clock.now())) > SKEW:
            log.warning("run %s was written down by a clock that was %s ahead", run_id, ahead)
            worker.machine.clock_set(-ahead)
        self._recount(worker)
        for stage, attempt in worker.machine.open_attempts():
            self._spawn(self._start(worker, worker.machine, stage, attempt.number))
        for record in worker.machine.records.values():
            for attempt in record.attempts:
                if attempt.state.ended:  # in case that was not done before
                    self._tidying.add(AttemptKey(run_id, record.name, attempt.number))
        worker.machine.settle(parts.clock.now())
        return True

    def _admit(self, machine: Machine, now: datetime) -> None:
        run = machine.run
        if run.state is not RunState.QUEUED or run.ending:
            return
        siblings = [w.machine.run if w.machine else w.run for w in self._by_pipeline[run.pipeline].values()]
        verdict = judge(run, [r for r in siblings if not r.state.ended], machine.pipeline.concurrency)
        if verdict.admit:
            machine.admit(now)
        elif verdict.skip:
            machine.end("cancelled", now, message=verdict.message)
        else:
            machine.hold(verdict.message)
            for other in verdict.replaces:
                self._workers[other].replaced = True
                self._kick(self._workers[other])

    def _fill(self, worker: Worker, machine: Machine, now: datetime) -> None:
        """Give the run's queued stages free slots; in turn, where other runs wait for one too."""
        run_id, patient = worker.run.id, worker.run.trigger.kind == "backfill"
        waiting = self._patient if patient else self._hungry
        waiting.pop(run_id, None)
        if patient and self._hungry and machine.wants:
            waiting[run_id] = None
            return
        others = bool(waiting)
        while machine.wants and self._used < self._slots:
            if not machine.start(now):
                break
            self._used += 1
            worker.slots += 1
            if others:
                break
        if machine.wants:
            waiting[run_id] = None

    def _recount(self, worker: Worker) -> None:
        """Keep the count of slots in step with the worker's open attempts, and hand on those that are free."""
        have = len(worker.machine.open_attempts()) if worker.machine else 0
        self._used += have - worker.slots
        worker.slots = have
        for run_id in [*self._hungry, *self._patient][: max(self._slots - self._used, 0)]:
            self._kick(self._workers[run_id])

    async def _seek(self, worker: Worker, machine: Machine, stage: str) -> None:
        loaded = worker.loaded
        assert loaded is not None
        sought = await patiently(lambda: self._reuse.seek(loaded, machine, stage))
        if worker.machine is machine:
            worker.sought.append(sought)
            self._kick(worker)

    # writing down, and acting

    async def _commit(self, worker: Worker, machine: Machine, changed: Changed | None) -> None:
        before, run = (changed.before, changed.run) if changed else (machine.run, machine.run)
        changes: list[Put | Delete] = [Delete(keys.command(run.id, c)) for c in worker.taken]
        changes += change_run(before, run)
        happened = notices(machine.pipeline.notify, before, run, self._parts.clock.now())
        changes += [Put(keys.notice(name), encode(notice)) for name, notice in happened.items()]
        if run.state is RunState.SUCCEEDED and before.state is not RunState.SUCCEEDED and run.ended:
            changes += await self._parts.attempts.latest(machine, run.ended)
        changed_records = changed.records if changed else ()
        records: list[Put | Delete] = [Put(keys.stage(run.id, r.name), encode(r)) for r in changed_records]
        holding: list[Condition] = []
        if origins := {r.reused_from for r in changed_records if r.reused_from}:
            holding, held = await hold(self._parts.store, run.id, origins)
            records = [*held, *records]  # first: what is held in vain does no harm
        for record in changed_records:
            if record.fingerprint and (made_from := worker.made_from.pop(record.name, None)) is not None:
                instance = machine.plan.instances[record.name]
                records += kept(run, instance, record, made_from, self._parts.clock.now())
        # the summary goes last: until it is written, everything before it would be decided again
        while len(records) + len(changes) > CHUNK:
            some, records = records[:CHUNK], records[CHUNK:]
            if await self._parts.store.commit([*self._fence(), *holding], some) is None:
                raise StoreError("another daemon leads, or is about to")
        conditions = [*self._fence(), *holding, Condition(keys.run(run.id), modified=worker.modified)]
        revision = await self._parts.store.commit(conditions, [*records, *changes])
        if revision is None:
            raise StoreError("it changed meanwhile, or another daemon leads")
        worker.modified, worker.run, worker.noted = revision, run, worker.shift
        if changed:
            self._parts.telemetry.committed(changed)
        for command_id in worker.taken:
            worker.commands.pop(command_id, None)
        worker.taken.clear()
        if changed:
            self._act(worker, machine, changed)
        if before.state != run.state:
            self._wake_siblings(run)

    def _act(self, worker: Worker, machine: Machine, changed: Changed) -> None:
        for action in changed.actions:
            if isinstance(action, StartAttempt):
                self._spawn(self._start(worker, machine, action.stage, action.number))
            else:
                key = AttemptKey(machine.run.id, action.stage, action.number)
                self._spawn(self._parts.executor.cancel(key))
        for record in changed.records:
            for attempt in record.attempts[-2:]:  # a retry may have begun in the same step
                if attempt.state.ended:
                    worker.read.pop((record.name, attempt.number), None)
                    worker.cached.pop((record.name, attempt.number), None)
                    self._tidying.add(AttemptKey(machine.run.id, record.name, attempt.number))

    async def _start(self, worker: Worker, machine: Machine, stage: str, number: int) -> None:
        assert worker.loaded is not None
        parts, run_id = self._parts, machine.run.id
        try:
            prepared = await patiently(
                lambda: parts.attempts.prepare(worker.loaded, machine, stage, number)  # type: ignore[arg-type]
            )
            worker.read[(stage, number)] = prepared.inputs
            parts.telemetry.prepared(prepared.spec.key, parts.clock.now())
            if machine.pipeline.caches(machine.plan.instances[stage].stage):
                worker.cached[(stage, number)] = without_secrets(prepared)
            secrets = [secret.ref for secret in prepared.spec.grant.secrets]
            parts.logs.track(run_id, stage, number, secrets)
            if _unwanted(machine, stage, number):  # by an earlier daemon: what is not there must not be started
                await parts.executor.cancel(prepared.spec.key)
            await parts.executor.ensure(prepared.spec)
        except Exception as error:
            if not isinstance(error, KhanError):
                log.exception("cannot start %s/%s/%d", run_id, stage, number)
            worker.ended.append((stage, number, Ending(parts.clock.now(), why_not(error), said(error))))
            self._kick(worker)
            return
        if _unwanted(machine, stage, number):
            await parts.executor.cancel(prepared.spec.key)  # it was cancelled before it was there

    async def _give_up(self, worker: Worker, error: KhanError) -> None:
        """A run whose document is gone can only fail."""
        run = worker.failed(error.message, self._parts.clock.now())
        conditions = [*self._fence(), Condition(keys.run(run.id), modified=worker.modified)]
        deletes: list[Put | Delete] = [Delete(keys.command(run.id, c)) for c in worker.commands]
        await self._parts.store.commit(conditions, [*deletes, *change_run(worker.run, run)])
        worker.commands.clear()
        worker.run = run

    def _reset(self, worker: Worker) -> None:
        worker.machine = None
        worker.taken.clear()
        self._recount(worker)

    def _wake_siblings(self, run: Run) -> None:
        for sibling in self._by_pipeline.get(run.pipeline, {}).values():
            if sibling.run.state is RunState.QUEUED:
                self._kick(sibling)

    def _dismiss(self, worker: Worker) -> None:
        run = worker.run
        self._workers.pop(run.id, None)
        self._hungry.pop(run.id, None)
        self._patient.pop(run.id, None)
        siblings = self._by_pipeline.get(run.pipeline, {})
        siblings.pop(run.id, None)
        if not siblings:
            self._by_pipeline.pop(run.pipeline, None)
        self._timers.set(run.id, None)
        worker.machine = None
        self._recount(worker)


def _unwanted(machine: Machine, stage: str, number: int) -> bool:
    """Whether the attempt is to be ended."""
    attempt = machine.record(stage).attempt
    return attempt is not None and attempt.number == number and attempt.reason is not Reason.OK


async def _contained(work: Coroutine[Any, Any, None]) -> None:
    """One run's mishap must not stop the others: what cannot be handled is logged with all that is known."""
    try:
        await work
    except Exception:
        log.exception("unexpected")
