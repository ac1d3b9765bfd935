"""From a tick, or a run that is followed, to the run that it makes: for whoever fires schedules."""

from __future__ import annotations

from datetime import datetime

from backend.clock import Clock
from backend.errors import InvalidRequest, NotFound
from backend.run.create import new_run
from backend.run.ids import new_id, short
from backend.run.state import Run, Trigger
from backend.schedule.deadline import deadline_of
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.base import Condition, Delete, Put, Store
from backend.store.catalogue import Catalogue
from backend.store.codec import decode, encode
from backend.store.records import create_run
from backend.zones import zone_of


class Firings:
    """Makes the runs of schedules, and writes each with its schedule in one transaction.

    A run's id follows from the schedule and its moment: however often, and by whomever, a tick makes one run.
    """

    def __init__(self, store: Store, catalogue: Catalogue, clock: Clock) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock

    async def of_tick(self, schedule: Schedule, tick: datetime) -> tuple[Run | None, str]:
        """The run that a tick makes, or what keeps it from making one."""
        trigger = Trigger(kind="schedule", schedule=schedule.name, overlap=schedule.overlap)
        identifier = new_id(tick, seed=schedule.name)
        run, why_not = await self._make(schedule, identifier, tick, tick.astimezone(zone_of(schedule.zone)), trigger)
        return run, f"the tick of {tick.isoformat()} made no run: {why_not}" if run is None else ""

    async def after(self, schedule: Schedule, ended: Run, moment: datetime) -> tuple[Run | None, str]:
        """The run that follows `ended`, at the logical time `moment`; or what keeps it from being made."""
        trigger = Trigger(kind="after", schedule=schedule.name, run=ended.id, overlap=schedule.overlap)
        end = ended.ended or self._clock.now()
        identifier = new_id(end, seed=f"{schedule.name}:{ended.id}")
        run, why_not = await self._make(schedule, identifier, end, moment, trigger, ended.zone)
        return run, f"the run after {ended.id} was not made: {why_not}" if run is None else ""

    async def write(
        self, guard: list[Condition], schedule: Schedule, modified: int, run: Run | None, *also: Put | Delete
    ) -> int | None:
        """Note the schedule as it is now, with the run that it has made: the revision.

        None if it is no longer the one that changed at `modified`, or the guard does not hold.
        """
        key = keys.schedule(schedule.name)
        noted: list[Put | Delete] = [Put(key, encode(schedule)), *also]
        guard = [*guard, Condition(key, modified=modified)]
        if run is None:
            return await self._store.commit(guard, noted)
        conditions, changes = create_run(run)
        revision = await self._store.commit([*guard, *conditions], [*noted, *changes])
        if revision is None and await self._store.get(keys.run(run.id)) is not None:
            revision = await self._store.commit(guard, noted)  # e.g. a schedule deleted and made anew
        return revision

    async def _make(
        self,
        schedule: Schedule,
        identifier: str,
        tick: datetime,
        moment: datetime,
        trigger: Trigger,
        zone: str = "",
    ) -> tuple[Run | None, str]:
        try:
            loaded = await self._catalogue.current(schedule.pipeline)
            run = new_run(
                loaded.pipeline,
                loaded.plan,
                identifier=identifier,
                version=loaded.record.version,
                moment=moment,
                now=self._clock.now(),
                parameters=schedule.parameters,
                trigger=trigger,
                zone=zone or schedule.zone,
                due_by=deadline_of(schedule.deadline, schedule.zone, tick),
            )
        except (NotFound, InvalidRequest) as error:
            return None, error.message
        if schedule.overlap == "skip" and (busy := await self._active(schedule.last_run)):
            return None, f"run {short(busy)} of it is still active"
        return run, ""

    async def _active(self, run: str) -> str:
        """That run, if it has not ended."""
        found = await self._store.get(keys.run(run)) if run else None
        return run if found is not None and not decode(found.value, Run).state.ended else ""
