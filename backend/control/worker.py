"""What the controller keeps in mind of one run between its turns."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import msgspec

from backend.clock import Clock
from backend.control.attempts import Prepared
from backend.control.reuse import Sought
from backend.errors import KhanError, NotFound
from backend.executors.base import Observation
from backend.run.again import behind
from backend.run.fingerprint import Fingerprint
from backend.run.machine import Ending, Machine
from backend.run.state import Run, RunState, StageRecord
from backend.store import keys
from backend.store.base import Store
from backend.store.catalogue import Catalogue, Loaded
from backend.store.codec import decode
from backend.store.records import Command

log = logging.getLogger(__name__)


class Worker:
    """One run: its machine, once loaded, and what has reached it since its last turn."""

    def __init__(self, run: Run, modified: int, shift: timedelta, *, new: bool = False) -> None:
        """`shift`: how far the clock had been set when the run was written down."""
        self.shift = self.noted = shift  # that of the machine's moments, and of those that are committed
        self.run = run  # as last committed
        self.modified = modified  # the revision of that
        self.new = new  # it was heard of when it was made: the store has nothing else of it
        self.loaded: Loaded | None = None
        self.machine: Machine | None = None
        self.dirty = False
        self.busy = False
        self.kicked = 0.0  # when there was news of it, on the clock of time.perf_counter
        self.slots = 0  # how many of the executor's places it holds
        self.replaced = False
        self.commands: dict[str, Command] = {}
        self.taken: list[str] = []  # commands that the machine has been told of, not yet committed
        self.started: list[Observation] = []  # and those that wait to be
        self.ended: list[tuple[str, int, Ending]] = []
        self.read: dict[tuple[str, int], dict[str, str]] = {}  # (stage, attempt) -> hashes of its inputs
        self.cached: dict[tuple[str, int], Prepared] = {}  # attempts whose results may stand for later ones
        self.made_from: dict[str, Fingerprint] = {}  # stage -> what its result was made from, not yet committed
        self.sought: list[Sought] = []

    def keep_time(self, machine: Machine, clock: Clock) -> None:
        """Have the machine's moments follow the clock, where that was set."""
        shift = clock.shift
        if shift != self.shift:
            machine.clock_set(shift - self.shift)
            self.shift = shift

    def feed(self, machine: Machine, now: datetime) -> None:
        """Tell the machine all that has happened."""
        started, self.started = self.started, []
        for seen in started:
            if seen.state == "waiting":
                machine.attempt_waits(seen.key.stage, seen.key.number, seen.message)
            else:
                machine.attempt_started(seen.key.stage, seen.key.number, seen.at)
        ended, self.ended = self.ended, []
        for stage, number, ending in ended:  # one that was seen before the clock was set back did not end later
            machine.attempt_ended(stage, number, msgspec.structs.replace(ending, at=min(ending.at, now)))
        sought, self.sought = self.sought, []
        for each in sought:
            if each.earlier is None:
                machine.missed(each.stage, each.reason)
            else:
                machine.found(each.stage, each.earlier, each.run, now)
        if self.replaced:
            self.replaced = False
            machine.end("replaced", now, message="a newer run took its place")
        for command_id, command in self.commands.items():
            if command_id not in self.taken:
                self.taken.append(command_id)
                self._obey(machine, command, now)

    def _obey(self, machine: Machine, command: Command, now: datetime) -> None:
        try:
            if command.kind == "cancel":
                machine.end("cancelled", now, by=command.by, message=f"cancelled by {command.by}")
            else:
                machine.retry(now, from_stage=command.from_stage, only=command.only)
        except KhanError as error:
            log.warning("run %s: cannot %s: %s", self.run.id, command.kind, error)

    async def revive(self, store: Store, catalogue: Catalogue) -> Machine:
        """The machine of what the store holds of this run."""
        assert self.loaded is not None
        records = {} if self.new else await _records(store, self.run.id)
        self.new = False
        machine = Machine(self.run, records.values(), self.loaded.pipeline, self.loaded.plan)
        fresh = self.run.state is RunState.QUEUED and self.run.round == 1 and not records
        if fresh and self.run.trigger.kind == "retry" and self.run.trigger.run:
            await self._take_up(machine, store, catalogue)
        return machine

    async def _take_up(self, machine: Machine, store: Store, catalogue: Catalogue) -> None:
        """Keep what is still good of the run that this one takes up, with the pipeline's present version."""
        assert self.loaded is not None
        found = await store.get(keys.run(self.run.trigger.run))
        if found is None:
            return
        old = decode(found.value, Run)
        try:
            was = await catalogue.load(old.pipeline, old.version)
        except NotFound:
            return
        fresh = self.run.retry_from
        again = behind(machine.plan, {n for n, i in machine.plan.instances.items() if fresh in (n, i.stage)})
        same = {
            name
            for name, instance in machine.plan.instances.items()
            if was.plan.instances.get(name) == instance
            and was.pipeline.stages[instance.stage] == machine.pipeline.stages[instance.stage]
        }
        now = self.run.created
        assert now is not None
        machine.keep(await _records(store, old.id), same - again, old.id, now)

    def failed(self, message: str, now: datetime) -> Run:
        """The run's summary, failed for a reason outside of its stages."""
        return msgspec.structs.replace(self.run, state=RunState.FAILED, ended=now, message=message)


async def _records(store: Store, run_id: str) -> dict[str, StageRecord]:
    found: dict[str, StageRecord] = {}
    async for page in store.scan(keys.stages(run_id)):
        for item in page.items:
            record = decode(item.value, StageRecord)
            found[record.name] = record
    return found
