"""Schedules: making, changing, pausing and previewing what starts runs without a person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from msgspec.structs import replace
from starlette.responses import Response

from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.views import run_view
from backend.api.wire import (
    FiringView,
    ForesightView,
    Page,
    PauseSchedule,
    PutSchedule,
    RunView,
    ScheduleView,
)
from backend.errors import InvalidRequest, NotFound
from backend.run.create import new_run, zone_of
from backend.run.ids import new_id
from backend.run.state import Run, Trigger
from backend.schedule.check import check
from backend.schedule.cron import parse_cron
from backend.schedule.describe import describe
from backend.schedule.model import Schedule
from backend.schedule.times import between
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put
from backend.store.codec import decode, encode
from backend.store.records import create_run

AHEAD = 5  # firings that a list shows
FAR = 1000  # firings that are gone through for a change of the clocks


@operation("GET", "/schedules", answer=Page, items=ScheduleView, query={**PAGING, "pipeline": "of this pipeline"})
async def list_schedules(call: Call) -> Response:
    """Schedules by name, each with its next firings"""
    views: list[ScheduleView] = []
    revision, wanted = 0, call.text("pipeline")
    async for page in call.services.store.scan(keys.SCHEDULES):
        revision = page.revision
        for kv in page.items:
            schedule = decode(kv.value, Schedule)
            if wanted in ("", schedule.pipeline):
                views.append(await _view(call, schedule, kv.modified))
    return answer(cursor.part(call, views, revision))


@operation("GET", "/schedules/{name}", answer=ScheduleView)
async def get_schedule(call: Call) -> Response:
    """One schedule"""
    kv = await _find(call)
    return answer(await _view(call, decode(kv.value, Schedule), kv.modified))


@operation("PUT", "/schedules/{name}", body=PutSchedule, answer=ScheduleView, role="editor")
async def put_schedule(call: Call) -> Response:
    """Make or change a schedule"""
    name, body, services = call.name(), await call.body(PutSchedule), call.services
    loaded = await services.catalogue.current(body.pipeline)
    now = services.clock.now()
    for _ in range(5):
        found = await services.store.get(keys.schedule(name))
        old = decode(found.value, Schedule) if found else None
        schedule = replace(
            _asked(name, body),
            paused=old.paused if old else False,
            paused_by=old.paused_by if old else "",
            paused_reason=old.paused_reason if old else "",
            created=old.created if old else now,
            created_by=old.created_by if old else call.who.name,
            # other times count from now on; with the same ones, a tick that is due now must not be passed over
            last_tick=old.last_tick if old and _same_times(old, body) else now,
            last_run=old.last_run if old else "",
        )
        others = [s async for s in _all(call)]
        check(schedule, others, now=now, pipeline=loaded.pipeline)
        for cause in schedule.after:
            await services.catalogue.head(cause)
        revision = await _write(call, schedule, found)
        if revision is not None:
            return answer(await _view(call, schedule, revision))
    raise call.conflict(f"schedule {name}")


@operation("POST", "/schedules/{name}/preview", body=PutSchedule, answer=ForesightView, query={"n": "how many (5)"})
async def foresee_schedule(call: Call) -> Response:
    """What a schedule would do if it were stored so: its firings, and what else starts then; nothing is changed"""
    body, services = await call.body(PutSchedule), call.services
    schedule, now = _asked(call.name(), body), services.clock.now()
    loaded = await services.catalogue.current(body.pipeline)
    others = [s async for s in _all(call) if s.name != schedule.name]
    check(schedule, others, now=now, pipeline=loaded.pipeline)
    for cause in schedule.after:
        await services.catalogue.head(cause)
    firings = _next(schedule, now, call.number("n", 5, least=1, most=100))
    views = tuple(FiringView(at, _beside(at, others)) for at in firings)
    return answer(ForesightView(_when(schedule), views, _turned(schedule, now)))


def _turned(schedule: Schedule, now: datetime) -> datetime | None:
    """The first of the next firings at which the schedule's zone is another way from UTC than at the one before."""
    zone = zone_of(schedule.zone)
    times = _next(schedule, now, FAR)
    offsets = [at.astimezone(zone).utcoffset() for at in times]
    return next((at for at, here, before in zip(times[1:], offsets[1:], offsets, strict=False) if here != before), None)


def _beside(at: datetime, others: list[Schedule]) -> tuple[str, ...]:
    """The pipelines that other schedules start in the minute of `at`."""
    minute = at.replace(second=0, microsecond=0)
    before = minute - timedelta(seconds=1)  # what fires is looked for after a moment
    found = set()
    for other in others:
        times = () if other.paused else _next(other, before, 1)
        if times and times[0] < minute + timedelta(minutes=1):
            found.add(other.pipeline)
    return tuple(sorted(found))


@operation("DELETE", "/schedules/{name}", status=204, role="editor")
async def delete_schedule(call: Call) -> Response:
    """Delete a schedule; runs that it has started go on"""
    kv = await _find(call)
    name = call.name()
    if await call.commit([Condition(kv.key, modified=kv.modified)], [Delete(kv.key)], name) is None:
        raise call.conflict(f"schedule {name}")
    return Response(status_code=204)


@operation("POST", "/schedules/{name}/pause", body=PauseSchedule, answer=ScheduleView, role="operator")
async def pause_schedule(call: Call) -> Response:
    """Have a schedule start nothing until it is resumed"""
    await call.seen_before()
    reason = (await call.body(PauseSchedule)).reason
    return await _set_paused(call, True, reason)


@operation("POST", "/schedules/{name}/resume", answer=ScheduleView, role="operator")
async def resume_schedule(call: Call) -> Response:
    """Have a paused schedule start runs again; what fell into the pause is not made up for"""
    await call.seen_before()
    return await _set_paused(call, False, "")


@operation("POST", "/schedules/{name}/run", answer=RunView, status=201, role="operator")
async def run_schedule(call: Call) -> Response:
    """Start a run now, as this schedule would"""
    await call.seen_before()
    kv, services = await _find(call), call.services
    schedule = decode(kv.value, Schedule)
    loaded = await services.catalogue.current(schedule.pipeline)
    now = services.clock.now()
    run = new_run(
        loaded.pipeline,
        loaded.plan,
        identifier=new_id(now),
        version=loaded.record.version,
        moment=now.astimezone(zone_of(schedule.zone)),
        now=now,
        parameters=schedule.parameters,
        trigger=Trigger("manual", by=call.who.name, schedule=schedule.name),
        zone=schedule.zone,
    )
    conditions, changes = create_run(run)
    revision = await call.commit(conditions, changes, run.id, answer=run_view(run, 0), status=201)
    if revision is None:
        raise call.conflict(f"run {run.id}")
    return answer(run_view(run, revision), 201)


@operation("GET", "/schedules/{name}/preview", answer=Page, items=datetime, query={**PAGING, "n": "how many (10)"})
async def preview_schedule(call: Call) -> Response:
    """When a schedule will fire next"""
    kv = await _find(call)
    schedule = decode(kv.value, Schedule)
    times = _next(schedule, call.services.clock.now(), call.number("n", 10, least=1, most=1000))
    return answer(cursor.part(call, times, kv.modified))


async def _set_paused(call: Call, paused: bool, reason: str) -> Response:
    for _ in range(5):
        kv = await _find(call)
        schedule = decode(kv.value, Schedule)
        if schedule.paused == paused:
            return answer(await _view(call, schedule, kv.modified))
        schedule = replace(
            schedule,
            paused=paused,
            paused_by=call.who.name if paused else "",
            paused_reason=reason,
            last_tick=schedule.last_tick if paused else call.services.clock.now(),
        )
        revision = await _write(call, schedule, kv)
        if revision is not None:
            return answer(await _view(call, schedule, revision))
    raise call.conflict(f"schedule {call.name()}")


async def _write(call: Call, schedule: Schedule, found: KeyValue | None) -> int | None:
    key = keys.schedule(schedule.name)
    condition = Condition(key, modified=found.modified if found else 0)
    view = await _view(call, schedule, 0)
    return await call.commit([condition], [Put(key, encode(schedule))], schedule.name, answer=view)


async def _find(call: Call) -> KeyValue:
    name = call.name()
    found = await call.services.store.get(keys.schedule(name))
    if found is None:
        raise NotFound(f"there is no schedule {name!r}", hint="khantui schedules lists them")
    return found


async def _all(call: Call) -> AsyncIterator[Schedule]:
    async for page in call.services.store.scan(keys.SCHEDULES):
        for kv in page.items:
            yield decode(kv.value, Schedule)


async def _view(call: Call, schedule: Schedule, revision: int) -> ScheduleView:
    state = ""
    if schedule.last_run and (found := await call.services.store.get(keys.run(schedule.last_run))):
        state = decode(found.value, Run).state.value
    return ScheduleView(
        name=schedule.name,
        pipeline=schedule.pipeline,
        kind=schedule.kind,
        cron=schedule.cron,
        zone=schedule.zone,
        at=schedule.at,
        after=schedule.after,
        parameters=schedule.parameters,
        catch_up=schedule.catch_up,
        paused=schedule.paused,
        paused_by=schedule.paused_by,
        paused_reason=schedule.paused_reason,
        created=schedule.created,
        created_by=schedule.created_by,
        last_tick=schedule.last_tick,
        last_run=schedule.last_run,
        last_state=state,
        next=() if schedule.paused else _next(schedule, call.services.clock.now(), AHEAD),
        done=schedule.done,
        message=schedule.message,
        revision=revision,
        when=_when(schedule),
    )


def _asked(name: str, body: PutSchedule) -> Schedule:
    """The schedule that a body asks for, as if there were none of that name."""
    return Schedule(
        name=name,
        pipeline=body.pipeline,
        kind=body.kind,
        cron=body.cron,
        zone=body.zone,
        at=_aware(body.at, body.zone),
        after=body.after,
        parameters=body.parameters,
        catch_up=body.catch_up,
    )


def _when(schedule: Schedule) -> str:
    if schedule.kind == "cron":
        return describe([parse_cron(expression) for expression in schedule.cron], zone_of(schedule.zone))
    return f"after {', '.join(schedule.after)}" if schedule.at is None else f"once at {schedule.at.isoformat()}"


def _next(schedule: Schedule, now: datetime, count: int) -> tuple[datetime, ...]:
    """The next firings, in UTC."""
    if schedule.kind == "once":
        return (schedule.at,) if schedule.at and schedule.at > now and not schedule.done else ()
    if schedule.kind != "cron":
        return ()
    crons = [parse_cron(expression) for expression in schedule.cron]
    until = now.replace(year=min(now.year + 6, 9999), day=min(now.day, 28))
    return tuple(between(crons, zone_of(schedule.zone), now, until, count))


def _same_times(old: Schedule, body: PutSchedule) -> bool:
    at = _aware(body.at, body.zone)
    return (old.kind, old.cron, old.zone, old.at, old.after) == (body.kind, body.cron, body.zone, at, body.after)


def _aware(at: datetime | None, zone: str) -> datetime | None:
    """A moment without an offset is one of the schedule's zone."""
    if at is None:
        return None
    try:
        return at if at.tzinfo else at.replace(tzinfo=zone_of(zone))
    except OverflowError as error:
        raise InvalidRequest(f"{at} is out of range") from error
