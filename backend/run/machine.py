"""What happens next to one run. No I/O and no clock: events and the time come in, records and actions go out.

The machine is rebuilt from what the store holds, at any moment and by anybody, and goes on from there. Whoever drives
it feeds it what happened, takes the changed records, commits them, and only then carries out the actions.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Set
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from backend.errors import Conflict
from backend.run import words
from backend.run.again import again
from backend.run.state import (
    ArtifactRecord,
    Attempt,
    AttemptState,
    Reason,
    Run,
    RunState,
    StageRecord,
    StageState,
)
from backend.spec.graph import Plan
from backend.spec.model import Pipeline, Stage

replace = msgspec.structs.replace

# what no further attempt could mend, or what somebody wanted
_FINAL = frozenset((Reason.CANCELLED, Reason.REPLACED, Reason.RUN_TIMEOUT))
# why a run is being ended -> what its attempts are told
_ENDINGS = {"cancelled": Reason.CANCELLED, "replaced": Reason.REPLACED, "run-timeout": Reason.RUN_TIMEOUT}
_TRANSIENT = frozenset((StageState.WAITING, StageState.QUEUED, StageState.RETRYING))


class StartAttempt(Struct, frozen=True):
    """Have the executor see to it that this attempt runs."""

    stage: str
    number: int


class CancelAttempt(Struct, frozen=True):
    """Have the executor end this attempt."""

    stage: str
    number: int


Action = StartAttempt | CancelAttempt


class Ending(Struct, frozen=True):
    """How an attempt ended: OK only if its command did, and its outputs are published."""

    at: datetime
    reason: Reason
    message: str = ""
    exit_code: int | None = None
    outputs: dict[str, ArtifactRecord] = {}
    inputs: dict[str, str] = {}
    fingerprint: str = ""


class Changed(Struct, frozen=True):
    """What is to be committed, and what is to be done once it is."""

    before: Run
    run: Run
    records: tuple[StageRecord, ...]
    actions: tuple[Action, ...]


class Machine:
    """One run: its summary, its stages' records, and what is due when."""

    def __init__(self, run: Run, records: Iterable[StageRecord], pipeline: Pipeline, plan: Plan) -> None:
        self.run = run
        self.pipeline = pipeline
        self.plan = plan
        self.records = {r.name: r for r in records if r.name in plan.instances}
        self._before = run
        self._changed: dict[str, StageRecord] = {}
        self._actions: list[Action] = []
        self._dependents: dict[str, list[str]] = {name: [] for name in plan.instances}
        for instance in plan.instances.values():
            for need in instance.needs:
                self._dependents[need].append(instance.name)
        self._unmet: dict[str, int] = {}
        self._queue: deque[str] = deque()
        self._unsought: dict[str, bool] = {}  # ready, if no earlier result stands for them -> is one looked for
        self._open: set[str] = set()  # stages with an attempt that has not ended
        self._retrying: set[str] = set()
        self._counts: Counter[StageState] = Counter()
        self._index()

    # what is

    def record(self, name: str) -> StageRecord:
        """The stage's record; a fresh one if nothing has happened to it yet."""
        return self.records.get(name) or StageRecord(name)

    def open_attempts(self) -> list[tuple[str, Attempt]]:
        """The attempts that have not ended, as (stage, attempt)."""
        return [(name, a) for name in self._open if (a := self.records[name].attempt)]

    def was_seen(self, name: str, number: int) -> bool:
        """Whether the executor has said of an open attempt that it runs."""
        attempt = self.record(name).attempt
        return attempt is not None and attempt.number == number and attempt.state is AttemptState.RUNNING

    @property
    def wants(self) -> int:
        """How many stages are only waiting for a free place."""
        return len(self._queue)

    def next_wake(self) -> datetime | None:
        """When `tick` has something to do if nothing else happens before."""
        moments = [r.retry_at for n in self._retrying if (r := self.records[n]).retry_at]
        for name, attempt in self.open_attempts():
            limit = self._stage(name).timeout
            if limit is not None and attempt.reason is Reason.OK and attempt.started:
                moments.append(attempt.started + timedelta(seconds=limit))
        if (deadline := self._deadline()) and not self.run.ending:
            moments.append(deadline)
        if self.run.due_by and not self.run.late and not self.run.state.ended:
            moments.append(self.run.due_by)
        return min(moments, default=None)

    def take(self) -> Changed | None:
        """What has changed since the last call: to be committed as one. None if nothing has."""
        if self.run == self._before and not self._changed and not self._actions:
            return None
        counts = {str(s): n for s, n in sorted(self._counts.items()) if n and s is not StageState.WAITING}
        if counts != self.run.counts:
            self.run = replace(self.run, counts=counts)
        taken = Changed(self._before, self.run, tuple(self._changed.values()), tuple(self._actions))
        self._before, self._changed, self._actions = self.run, {}, []
        return taken

    def seek(self) -> list[str]:
        """Stages that are ready, and for which an earlier result may stand: each is named once, to be looked for."""
        new = [name for name, begun in self._unsought.items() if not begun]
        self._unsought |= dict.fromkeys(new, True)
        return new

    # what happens to it

    def admit(self, now: datetime) -> None:
        """It may run: nothing stands in its way any more."""
        if self.run.state is not RunState.QUEUED:
            return
        self.run = replace(self.run, state=RunState.RUNNING, started=self.run.started or now, ready_at=now, message="")
        self.settle(now)

    def clock_set(self, by: timedelta) -> None:
        """The clock was set by so much: what is under way moves along, so that it has lasted as long as it has."""
        for name in tuple(self._open):
            record = self.records[name]
            attempt = record.attempts[-1]
            attempts = (*record.attempts[:-1], replace(attempt, started=_moved(attempt.started, by)))
            self._set(name, ready=_moved(record.ready, by), started=_moved(record.started, by), attempts=attempts)
        for name in tuple(self._retrying):
            self._set(name, retry_at=_moved(self.records[name].retry_at, by))
        for name in (*self._queue, *self._unsought):
            self._set(name, ready=_moved(self.records[name].ready, by))
        if self.run.state is RunState.RUNNING:
            self.run = replace(self.run, started=_moved(self.run.started, by), ready_at=_moved(self.run.ready_at, by))

    def ahead(self, now: datetime) -> timedelta:
        """By how much what has happened lies in the future: somebody wrote it whose clock was ahead; 0 if nothing."""
        moments = [self.run.ready_at] if self.run.state is RunState.RUNNING else []
        moments += [self.records[name].attempts[-1].started for name in self._open]
        for name in self._retrying:
            record = self.records[name]
            moments.append(_moved(record.retry_at, -self._pause(record)))
        return max((m - now for m in moments if m is not None and m > now), default=timedelta())

    def hold(self, message: str) -> None:
        """It may not run yet, and this is why."""
        if self.run.state is RunState.QUEUED and self.run.message != message:
            self.run = replace(self.run, message=message)

    def end(self, why: str, now: datetime, *, by: str = "", message: str = "") -> None:
        """Bring it to an end: nothing more is started, and what runs is cancelled."""
        if self.run.state.ended or self.run.ending:
            return
        self.run = replace(self.run, ending=why, by=by, message=message or self.run.message)
        for name in self.plan.instances:
            if self.record(name).state in _TRANSIENT:
                self._set(name, state=StageState.CANCELLED, ended=now, retry_at=None, message=message or why)
        for name in tuple(self._open):
            self._cancel(name, _ENDINGS.get(why, Reason.CANCELLED))
        self.settle(now)

    def attempt_started(self, name: str, number: int, at: datetime) -> None:
        """The executor saw it running."""
        record = self.record(name)
        attempt = record.attempt
        if attempt and attempt.number == number and attempt.state is AttemptState.STARTING:
            running = replace(attempt, state=AttemptState.RUNNING)
            self._set(name, attempts=(*record.attempts[:-1], running), message="")

    def attempt_waits(self, name: str, number: int, message: str) -> None:
        """The executor cannot start it yet, and this is why."""
        record = self.record(name)
        attempt = record.attempt
        starting = attempt and attempt.number == number and attempt.state is AttemptState.STARTING
        if starting and record.message != message:
            self._set(name, message=message)

    def attempt_ended(self, name: str, number: int, ending: Ending) -> None:
        """Its processes are gone, and on success its outputs are published. Said twice, it counts once."""
        record = self.record(name)
        attempt = record.attempt
        if not attempt or attempt.number != number or attempt.state.ended:
            return
        # what we did to it says more than how it died of it; what had succeeded anyway, has
        reason = ending.reason if ending.reason is Reason.OK else attempt.reason or ending.reason
        message = words.ended(reason, ending.message, self._stage(name).timeout, self.pipeline.timeout)
        state = AttemptState.SUCCEEDED if reason is Reason.OK else AttemptState.FAILED
        if reason in _FINAL:
            state = AttemptState.CANCELLED
        attempt = replace(
            attempt, state=state, ended=ending.at, exit_code=ending.exit_code, reason=reason, message=message
        )
        record = replace(record, attempts=(*record.attempts[:-1], attempt))
        if ending.inputs:
            record = replace(record, inputs=ending.inputs)
        self._open.discard(name)
        self._conclude(record, attempt, ending)
        self.settle(ending.at, (name,))

    def start(self, now: datetime) -> bool:
        """Give the next queued stage a place: its new attempt is written down, to be started once committed."""
        if not self._queue:
            return False
        record = self.record(self._queue[0])
        number = len(record.attempts) + 1
        attempt = Attempt(number, AttemptState.STARTING, started=now)
        self._set(
            record.name,
            state=StageState.RUNNING,
            started=record.started or now,
            attempts=(*record.attempts, attempt),
            retry_at=None,
            message="",
        )
        self._actions.append(StartAttempt(record.name, number))
        return True

    def keep(self, old: Mapping[str, StageRecord], same: Set[str], run: str, now: datetime) -> None:
        """This run takes up `run`: its results stand for each stage of `same` that was good and needs nothing new."""
        for name, instance in self.plan.instances.items():
            found = old.get(name)
            if found is None or not found.state.good or name not in same:
                continue
            if all(self.record(need).state.good for need in instance.needs):
                self._set(
                    name,
                    state=StageState.REUSED,
                    started=now,
                    ended=now,
                    inputs=found.inputs,
                    outputs=found.outputs,
                    reused_from=found.reused_from or run,
                )

    def found(self, name: str, earlier: StageRecord, run: str, now: datetime) -> None:
        """The result that the stage had in `run` stands for it: `earlier` has inputs, outputs and the reason."""
        if name not in self._unsought:
            return
        self._set(
            name,
            state=StageState.REUSED,
            started=now,
            ended=now,
            inputs=earlier.inputs,
            outputs=earlier.outputs,
            reused_from=run,
            reason=earlier.reason,
        )
        self.settle(now, (name,))

    def missed(self, name: str, reason: str) -> None:
        """No earlier result stands for it, and this is why: it has to run."""
        if self._unsought.pop(name, None) is not None:
            self._queue.append(name)
            self._set(name, reason=reason)

    def tick(self, now: datetime) -> None:
        """Do what is due by now: retries, time-outs."""
        for name in [n for n in self._retrying if (t := self.records[n].retry_at) and t <= now]:
            self._set(name, state=StageState.QUEUED, retry_at=None)
        for name, attempt in self.open_attempts():
            limit = self._stage(name).timeout
            late = limit is not None and attempt.started and attempt.started + timedelta(seconds=limit) <= now
            if late and attempt.reason is Reason.OK:
                self._cancel(name, Reason.TIMEOUT)
        self._look_late(now)
        deadline = self._deadline()
        if deadline and deadline <= now and not self.run.ending:
            self.end("run-timeout", now, message=f"took longer than {words.duration(self.pipeline.timeout)}")

    def retry(self, now: datetime, *, from_stage: str = "", only: bool = False) -> None:
        """Do again what failed, or a stage with what follows it. What succeeded elsewhere is kept.

        Raises NotFound for an unknown stage, Conflict where something of it still runs or nothing is to be done.
        """
        if self.run.ending and not self.run.state.ended:
            raise Conflict("the run is being cancelled", hint="wait until it has ended")
        states = {name: self.record(name).state for name in self.plan.instances}
        repeated = again(self.plan, states, from_stage, only)
        busy = [n for n in self.plan.instances if n in repeated and n in self._open]
        if busy:
            raise Conflict(f"{busy[0]} is still running", hint="cancel the run first, or wait for it")
        for name in (n for n in self.plan.instances if n in repeated):
            record = self.record(name)
            limit = self._stage(name).retries.limit
            self._set(
                name,
                state=StageState.WAITING,
                ready=None,
                started=None,
                ended=None,
                retry_at=None,
                message="",
                outputs={},
                reused_from="",
                reason="",
                fingerprint="",
                budget=len(record.attempts) + limit + 1,
            )
        ended = self.run.state.ended
        self.run = replace(
            self.run,
            state=RunState.QUEUED if ended else self.run.state,
            ended=None,
            ending="" if ended else self.run.ending,
            by="",
            message="",
            round=self.run.round + 1,
            ready_at=None if ended else self.run.ready_at,
        )
        self._index()
        self.settle(now)

    # how it is worked out

    def settle(self, now: datetime, after: Iterable[str] | None = None) -> None:
        """Queue what can run, skip what cannot any more, and end the run when all has ended.

        `after` names the stages that have just ended; without it everything is looked at.
        """
        if self.run.state is RunState.RUNNING:
            if after is None:
                self._index()
                names: Iterable[str] = self.plan.instances
            else:
                names = [d for name in after for d in self._dependents[name]]
            pending = deque(names)
            while pending:
                name = pending.popleft()
                if self.record(name).state is StageState.WAITING and self._advance(name, now):
                    pending.extend(self._dependents[name])
        self._finish(now)

    def _advance(self, name: str, now: datetime) -> bool:
        """A waiting stage: queue it, or end it if something it needs did not succeed (then True)."""
        if self._unmet[name] == 0:
            self._set(name, state=StageState.QUEUED, ready=now)
            return False
        for need in self.plan.instances[name].needs:
            state = self.record(need).state
            if state.ended and not state.good:
                self._set(
                    name,
                    state=StageState.SKIPPED,
                    ended=now,
                    message=f"needs {need}, which {words.became(state)}",
                )
                return True
        return False

    def _finish(self, now: datetime) -> None:
        if self.run.state.ended or self._open or self._left():
            return
        if self.run.state is RunState.QUEUED and not self.run.ending:
            return
        failed = [n for n in self.plan.instances if self.record(n).state is StageState.FAILED]
        if self.run.ending in ("cancelled", "replaced"):
            state, message = RunState.CANCELLED, self.run.message
        elif self.run.ending:
            state, message = RunState.FAILED, self.run.message
        elif failed:
            state, message = RunState.FAILED, self._blame(failed)
        elif self._counts[StageState.SKIPPED] or self._counts[StageState.CANCELLED]:
            state, message = RunState.FAILED, "some stages never ran"
        else:
            state, message = RunState.SUCCEEDED, ""
        self._look_late(now)
        self.run = replace(self.run, state=state, ended=now, message=message)

    def _look_late(self, now: datetime) -> None:
        """Mark it if it has not ended by when it should have; that it ends later does not undo it."""
        run = self.run
        if run.due_by is not None and run.due_by <= now and not run.late and not run.state.ended:
            self.run = replace(run, late=True)

    def _blame(self, failed: list[str]) -> str:
        first = min(failed, key=lambda n: self.record(n).ended or self.run.created or datetime.max)
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return f"{first}: {self.record(first).message}{others}"

    def _left(self) -> bool:
        ended = sum(self._counts[s] for s in StageState if s.ended)
        return ended < len(self.plan.instances)

    def _conclude(self, record: StageRecord, attempt: Attempt, ending: Ending) -> None:
        self.records[record.name] = record
        if attempt.state is AttemptState.SUCCEEDED:
            self._set(
                record.name,
                state=StageState.SUCCEEDED,
                ended=ending.at,
                message="",
                outputs=ending.outputs,
                fingerprint=ending.fingerprint,
                reused_from="",
            )
        elif attempt.state is AttemptState.CANCELLED or self.run.ending:
            self._set(record.name, state=StageState.CANCELLED, ended=ending.at, message=attempt.message)
        else:
            self._fail(record, attempt, ending.at)

    def _fail(self, record: StageRecord, attempt: Attempt, at: datetime) -> None:
        budget = record.budget or self._stage(record.name).retries.limit + 1
        if attempt.number < budget:
            message = f"attempt {attempt.number} of {budget}: {attempt.message}"
            self._set(
                record.name,
                state=StageState.RETRYING,
                retry_at=at + self._pause(record),
                message=message,
            )
        else:
            self._set(record.name, state=StageState.FAILED, ended=at, message=attempt.message)

    def _pause(self, record: StageRecord) -> timedelta:
        """How long a stage waits after its last attempt before it is tried again."""
        retries = self._stage(record.name).retries
        failures = len(record.attempts) - ((record.budget or retries.limit + 1) - retries.limit - 1)
        return timedelta(seconds=retries.pause(max(failures, 1)))

    def _cancel(self, name: str, reason: Reason) -> None:
        record = self.records[name]
        attempt = record.attempt
        if attempt and attempt.reason is Reason.OK:
            self._attempt(record, replace(attempt, reason=reason))
        if attempt:
            self._actions.append(CancelAttempt(name, attempt.number))

    def _attempt(self, record: StageRecord, attempt: Attempt) -> None:
        self._set(record.name, attempts=(*record.attempts[:-1], attempt))

    def _deadline(self) -> datetime | None:
        if self.pipeline.timeout is None or self.run.ready_at is None or self.run.state.ended:
            return None
        return self.run.ready_at + timedelta(seconds=self.pipeline.timeout)

    def _stage(self, name: str) -> Stage:
        return self.pipeline.stages[self.plan.instances[name].stage]

    def _set(self, name: str, **fields: object) -> None:
        """Change a stage's record, and all that is derived from it."""
        old = self.record(name)
        new = replace(old, **fields)
        self.records[name] = self._changed[name] = new
        if old.state is new.state:
            return
        self._counts[old.state] -= 1
        self._counts[new.state] += 1
        self._retrying.discard(name)
        if old.state is StageState.QUEUED and self._unsought.pop(name, None) is None:
            self._queue.remove(name)
        if new.state is StageState.QUEUED:
            self._enqueue(new)
        elif new.state is StageState.RUNNING:
            self._open.add(name)
        elif new.state is StageState.RETRYING:
            self._retrying.add(name)
        elif new.state.good:
            for dependent in self._dependents[name]:
                self._unmet[dependent] -= 1

    def _enqueue(self, record: StageRecord, *, begun: bool = False) -> None:
        """It can run, unless an earlier result stands for it. What somebody asks for anew is run."""
        may = self.pipeline.caches(self.plan.instances[record.name].stage) and not self.run.fresh
        if may and not record.attempts and not record.budget and not record.reason:
            self._unsought[record.name] = begun
        else:
            self._queue.append(record.name)

    def _index(self) -> None:
        """Derive everything anew from the records."""
        states = {name: self.record(name).state for name in self.plan.instances}
        self._counts = Counter(states.values())
        self._unmet = {
            name: sum(not states[need].good for need in instance.needs)
            for name, instance in self.plan.instances.items()
        }
        self._queue.clear()
        begun, self._unsought = self._unsought, {}
        for name in (n for n, s in states.items() if s is StageState.QUEUED):
            self._enqueue(self.record(name), begun=begun.get(name, False))
        self._retrying = {n for n, s in states.items() if s is StageState.RETRYING}
        self._open = {n for n in states if (a := self.record(n).attempt) and not a.state.ended}


def _moved(moment: datetime | None, by: timedelta) -> datetime | None:
    return None if moment is None else moment + by
