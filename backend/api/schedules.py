"""Schedules: making, changing, pausing and previewing what starts runs without a person."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec import UnsetType
from msgspec.structs import replace
from starlette.responses import Response

from backend.access.model import Role
from backend.api import cursor
from backend.api.accounts import may_use
from backend.api.calendars import copied
from backend.api.call import Call, answer
from backend.api.firings import ahead, foreseen, schedule_view, schedule_views
from backend.api.operations import PAGING, operation
from backend.api.views import run_view
from backend.api.wire import (
    ForesightView,
    Page,
    PauseSchedule,
    PutSchedule,
    RunView,
    ScheduleView,
)
from backend.errors import InvalidRequest, NotFound
from backend.notify.model import Notice
from backend.run.create import new_run
from backend.run.ids import new_id
from backend.run.state import Trigger
from backend.schedule.check import cause_of, check
from backend.schedule.model import Schedule
from backend.schedule.ticks import awake
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put
from backend.store.codec import decode, encode
from backend.store.records import Latest, create_run, digest
from backend.zones import zone_of

T = TypeVar("T")
# what says when a schedule fires
_WHEN = ("kind", "cron", "zone", "at", "every", "after", "condition", "join", "match")
_TIMES = (*_WHEN, "start", "end", "skip", "calendars")
_HOW_FAR = {"n": "how many firings (5; 1000 at most)", "since": "firings after this moment (from now on)"}


@operation(
    "GET", "/schedules", answer=Page, items=ScheduleView, query={**PAGING, "pipeline": "of this pipeline"}, on="list"
)
async def list_schedules(call: Call) -> Response:
    """Schedules by name, each with its next firings"""
    found: list[tuple[Schedule, int]] = []
    revision, wanted = 0, call.text("pipeline")
    async for page in call.services.store.scan(keys.SCHEDULES):
        revision = page.revision
        for kv in page.items:
            schedule = decode(kv.value, Schedule)
            if wanted in ("", schedule.pipeline) and call.sees(schedule.pipeline):
                found.append((schedule, kv.modified))
    part = cursor.part(call, found, revision)
    part.items[:] = await schedule_views(call, part.items)
    return answer(part)


@operation("GET", "/schedules/{name}", answer=ScheduleView)
async def get_schedule(call: Call) -> Response:
    """One schedule"""
    kv = await _find(call)
    return answer(await schedule_view(call, decode(kv.value, Schedule), kv.modified))


@operation("PUT", "/schedules/{name}", body=PutSchedule, answer=ScheduleView, role="editor")
async def put_schedule(call: Call) -> Response:
    """Make or change a schedule"""
    name, body, services = call.name(), await call.body(PutSchedule), call.services
    await _permit(call, body)
    loaded = await services.catalogue.current(body.pipeline)
    await may_use(call, loaded.pipeline.service_account)
    now = services.clock.now()

    async def attempt() -> ScheduleView | None:
        found = await services.store.get(keys.schedule(name))
        old = decode(found.value, Schedule) if found else None
        if old is not None:  # it may be another's by now
            await call.permit("editor", old.pipeline)
        days, held = await _calendars(call, body, old)
        schedule = await _edited(call, name, body, old, now, days)
        others = [s async for s in _all(call)] if schedule.kind == "after" else []
        check(schedule, others, now=now, pipeline=loaded.pipeline)
        return await _write(call, schedule, found, held=held)

    return answer(await call.tried(f"schedule {name}", attempt))


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
    body = await call.body(PauseSchedule)
    if body.until is not None and body.until <= call.services.clock.now():
        raise InvalidRequest(f"{body.until.isoformat()} is past", hint="say until when: a moment ahead")
    return await _set_paused(call, True, body.reason, body.until)


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
    await may_use(call, loaded.pipeline.service_account)
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
    times = ahead(schedule, call.services.clock.now(), call.number("n", 10, least=1, most=1000))
    return answer(cursor.part(call, times, kv.modified))


@operation("GET", "/schedules/{name}/foresight", answer=ForesightView, query=_HOW_FAR)
async def get_foresight(call: Call) -> Response:
    """What a schedule will do: its firings, what each would run with, and what they meet"""
    schedule = decode((await _find(call)).value, Schedule)
    others = [s async for s in _all(call) if s.name != schedule.name and call.sees(s.pipeline)]
    return answer(await foreseen(call, schedule, others))


@operation("POST", "/schedules/{name}/preview", body=PutSchedule, answer=ForesightView, query=_HOW_FAR)
async def foresee_schedule(call: Call) -> Response:
    """What a schedule would do if it were stored so: its firings, and what else starts then; nothing is changed"""
    name, body, services = call.name(), await call.body(PutSchedule), call.services
    await _permit(call, body, "viewer")
    loaded = await services.catalogue.current(body.pipeline)
    found = await services.store.get(keys.schedule(name))
    old = decode(found.value, Schedule) if found else None
    days, _ = await _calendars(call, body, old)
    schedule = await _edited(call, name, body, old, services.clock.now(), days)
    others = [s async for s in _all(call) if s.name != name and call.sees(s.pipeline)]
    check(schedule, others, now=services.clock.now(), pipeline=loaded.pipeline)
    return answer(await foreseen(call, replace(schedule, paused=False), others, old))


async def _permit(call: Call, body: PutSchedule, needed: Role = "editor") -> None:
    """Whether the caller may have this pipeline started so, and may see what it waits for."""
    await call.permit(needed, body.pipeline)
    for cause in body.after:
        await call.permit("viewer", cause_of(cause))


async def _set_paused(call: Call, paused: bool, reason: str, until: datetime | None = None) -> Response:
    async def attempt() -> ScheduleView | None:
        kv = await _find(call)
        now = call.services.clock.now()
        schedule = awake(decode(kv.value, Schedule), now)
        same = not paused or (schedule.paused_reason, schedule.paused_until) == (reason, until)
        if schedule.paused == paused and same:
            return await schedule_view(call, schedule, kv.modified)
        schedule = replace(
            schedule,
            paused=paused,
            paused_by=call.who.name if paused else "",
            paused_reason=reason,
            paused_until=until,
            last_tick=schedule.last_tick if paused else now,
        )
        return await _write(call, schedule, kv, await _notices(call, schedule, now), why=reason)

    return answer(await call.tried(f"schedule {call.name()}", attempt))


async def _notices(call: Call, schedule: Schedule, now: datetime) -> list[Put | Delete]:
    """What tells of a pause, if its pipeline wants that told."""
    if not schedule.paused:
        return []
    try:
        channels = (await call.services.catalogue.current(schedule.pipeline)).pipeline.notify.get("paused", ())
    except NotFound:
        return []
    if not channels:
        return []
    notice = Notice(
        "paused",
        now,
        schedule.pipeline,
        channels,
        schedule=schedule.name,
        by=schedule.paused_by,
        reason=schedule.paused_reason,
        until=schedule.paused_until,
    )
    return [Put(keys.notice(f"{new_id(now)}.{schedule.name}.paused"), encode(notice))]


async def _write(
    call: Call,
    schedule: Schedule,
    found: KeyValue | None,
    beside: Sequence[Put | Delete] = (),
    held: Sequence[Condition] = (),
    why: str = "",
) -> ScheduleView | None:
    """What is shown of it once it is written; None if somebody else has changed it meanwhile."""
    key = keys.schedule(schedule.name)
    conditions = [Condition(key, modified=found.modified if found else 0), *held]
    view = await schedule_view(call, schedule, 0)
    changes = [Put(key, encode(schedule)), *beside]
    revision = await call.commit(conditions, changes, schedule.name, answer=view, why=why)
    return replace(view, revision=revision) if revision is not None else None


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


async def _calendars(
    call: Call, body: PutSchedule, old: Schedule | None
) -> tuple[dict[str, tuple[str, ...]], list[Condition]]:
    """The calendars that a body means, with their days, and what must still hold of them when it is written."""
    if isinstance(body.calendars, UnsetType):
        return old.calendars if old else {}, []
    return await copied(call, body.calendars)


async def _edited(
    call: Call,
    name: str,
    body: PutSchedule,
    old: Schedule | None,
    now: datetime,
    calendars: dict[str, tuple[str, ...]],
) -> Schedule:
    """The schedule that a body means: what it does not mention stays as it was, or is as it is for a new one."""
    plain = Schedule(name, body.pipeline, body.kind)
    base = old or plain

    def given(value: T | UnsetType, field: str, kept: Schedule = base) -> T:
        return getattr(kept, field) if isinstance(value, UnsetType) else value

    zone = given(body.zone, "zone")
    follows = base if base.kind == "after" and body.kind == "after" else plain
    schedule = Schedule(
        name=name,
        pipeline=body.pipeline,
        kind=body.kind,
        cron=body.cron,
        zone=zone,
        at=_aware(body.at, zone),
        every=body.every,
        after=body.after,
        condition=given(body.condition, "condition", follows),
        join=given(body.join, "join", follows),
        match=given(body.match, "match", follows),
        parameters=given(body.parameters, "parameters"),
        catch_up=given(body.catch_up, "catch_up"),
        window=given(body.window, "window"),
        overlap=given(body.overlap, "overlap"),
        jitter=given(body.jitter, "jitter"),
        start=_aware(given(body.start, "start"), zone),
        end=_aware(given(body.end, "end"), zone),
        skip=given(body.skip, "skip"),
        calendars=calendars,
        deadline=given(body.deadline, "deadline"),
        paused=base.paused,
        paused_by=base.paused_by,
        paused_reason=base.paused_reason,
        paused_until=base.paused_until,
        created=old.created if old else now,
        created_by=old.created_by if old else call.who.name,
        last_run=base.last_run,
    )
    same = old is not None and _same_times(old, schedule)
    return replace(
        schedule,
        # other times count from now on; with the same ones, a tick that is due now must not be passed over
        last_tick=base.last_tick if same else now,
        met=base.met if same else {},
        seen=base.seen if same else await _outputs(call, schedule),
    )


async def _outputs(call: Call, schedule: Schedule) -> dict[str, str]:
    """What is there now of the outputs that a schedule waits for. Raises NotFound for what nobody writes."""
    found: dict[str, str] = {}
    for reference in schedule.after:
        pipeline, _, output = reference.partition("/")
        loaded = await call.services.catalogue.current(pipeline)
        if not output:
            continue
        if output not in loaded.pipeline.outputs:
            known = ", ".join(loaded.pipeline.outputs) or "none"
            raise NotFound(f"{pipeline} has no output {output!r}", hint=f"its outputs: {known}")
        kv = await call.services.store.get(keys.latest(pipeline))
        entries = decode(kv.value, Latest).outputs.get(output) if kv else None
        if entries:
            found[reference] = digest(entries)
    return found


def _same_times(old: Schedule, new: Schedule) -> bool:
    return all(getattr(old, field) == getattr(new, field) for field in _TIMES)


def _aware(at: datetime | None, zone: str) -> datetime | None:
    """A moment without an offset is one of the schedule's zone."""
    if at is None:
        return None
    try:
        return at if at.tzinfo else at.replace(tzinfo=zone_of(zone))
    except OverflowError as error:
        raise InvalidRequest(f"{at} is out of range") from error
