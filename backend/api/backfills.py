"""Backfills: runs of a pipeline for a range of logical times that have passed, made, watched and ended as one thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace
from starlette.responses import Response

from backend.api import cursor
from backend.api.accounts import may_use
from backend.api.call import Call, answer
from backend.api.firings import environment, when
from backend.api.operations import PAGING, operation
from backend.api.wire import BackfillMoment, BackfillPreview, BackfillView, Page, StartBackfill
from backend.errors import Conflict, InvalidRequest, NotFound
from backend.run.create import check_parameters, logical_time
from backend.run.ids import new_id, short
from backend.schedule.backfill import MOST_AT_ONCE, Backfill, Steps, closed, moments, steps_of
from backend.schedule.cron import parse_cron
from backend.schedule.model import Schedule
from backend.spec.interpolate import Context
from backend.spec.quantity import duration, show_duration
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put
from backend.store.catalogue import Loaded
from backend.store.codec import decode, encode
from backend.store.good import good_runs
from backend.store.records import Command
from backend.zones import zone_of

SHOWN = 100  # logical times that a preview lists, unless it is asked for more
LONGEST = 366 * 86400  # seconds of a step
_DAY = 86400


@operation("POST", "/pipelines/{name}/backfills", body=StartBackfill, answer=BackfillView, status=201, role="operator")
async def start_backfill(call: Call) -> Response:
    """Start runs of a pipeline for all logical times of a range"""
    await call.seen_before()
    backfill, loaded, times = await _asked_for(call)
    await may_use(call, loaded.pipeline.service_account)
    if not times:
        raise InvalidRequest("there is no logical time in that range", hint="look at it with a preview (--dry-run)")
    key, view = keys.backfill(backfill.id), _view(backfill, 0)
    detail: dict[str, Any] = {"pipeline": backfill.pipeline, "total": backfill.total, "parameters": backfill.parameters}
    conditions, changes = [Condition(key, modified=0)], [Put(key, encode(backfill))]
    revision = await call.commit(conditions, list(changes), backfill.id, answer=view, status=201, **detail)
    if revision is None:
        raise call.conflict(f"backfill {backfill.id}")
    return answer(replace(view, revision=revision), 201)


@operation(
    "POST",
    "/pipelines/{name}/backfills/preview",
    body=StartBackfill,
    answer=BackfillPreview,
    query={"n": f"how many logical times are listed ({SHOWN}; 1000 at most)"},
)
async def preview_backfill(call: Call) -> Response:
    """What a backfill would do: its logical times, and what each would run with; nothing is changed"""
    most = call.number("n", SHOWN, least=0, most=1000)
    backfill, loaded, times = await _asked_for(call)
    good: dict[datetime, str] = {}
    if not backfill.rerun:
        good = await good_runs(call.services.store, backfill.pipeline, times, backfill.parameters)
    ordered = times if backfill.order == "oldest" else times[::-1]
    return answer(
        BackfillPreview(
            pipeline=backfill.pipeline,
            version=loaded.record.version,
            start=backfill.start,
            end=backfill.end,
            step=backfill.step,
            zone=backfill.steps.zone,
            parameters=backfill.parameters,
            total=backfill.total,
            good=len(good),
            moments=tuple(_moment(backfill, loaded, at, good.get(at, "")) for at in ordered[:most]),
        )
    )


@operation(
    "GET", "/backfills", answer=Page, items=BackfillView, query={**PAGING, "pipeline": "of this pipeline"}, on="list"
)
async def list_backfills(call: Call) -> Response:
    """Backfills, newest first"""
    found: list[tuple[Backfill, int]] = []
    revision, wanted = 0, call.text("pipeline")
    async for page in call.services.store.scan(keys.BACKFILLS):
        revision = page.revision
        every = ((decode(kv.value, Backfill), kv.modified) for kv in page.items)
        found += [each for each in every if wanted in ("", each[0].pipeline) and call.sees(each[0].pipeline)]
    found.sort(key=lambda each: str(each[0].created), reverse=True)
    part = cursor.part(call, found, revision)
    part.items[:] = [_view(*each) for each in part.items]
    return answer(part)


@operation("GET", "/backfills/{backfill}", answer=BackfillView)
async def get_backfill(call: Call) -> Response:
    """One backfill, and how far it is"""
    kv = await _find(call)
    return answer(_view(decode(kv.value, Backfill), kv.modified))


@operation("POST", "/backfills/{backfill}/pause", answer=BackfillView, role="operator")
async def pause_backfill(call: Call) -> Response:
    """Have a backfill make no more runs until it is resumed; those that are active go on"""
    await call.seen_before()
    return await _change(call, "paused", lambda b: replace(b, state="paused", paused_by=call.who.name))


@operation("POST", "/backfills/{backfill}/resume", answer=BackfillView, role="operator")
async def resume_backfill(call: Call) -> Response:
    """Have a paused backfill make runs again"""
    await call.seen_before()
    return await _change(call, "running", lambda b: replace(b, state="running", paused_by="", message=""))


@operation("POST", "/backfills/{backfill}/cancel", answer=BackfillView, status=202, role="operator")
async def cancel_backfill(call: Call) -> Response:
    """Have a backfill make no more runs, and end those that are active"""
    await call.seen_before()
    now = call.services.clock.now()
    return await _change(
        call, "cancelling", lambda b: closed(replace(b, state="cancelling", paused_by="", message=""), False, now), 202
    )


async def _change(call: Call, state: str, change: Callable[[Backfill], Backfill], status: int = 200) -> Response:
    """Bring a backfill into a state; with its cancellation, that of its runs is asked for in one transaction."""
    for _ in range(20):  # its controller changes it as well, whenever a run of it ends
        kv = await _find(call)
        old = decode(kv.value, Backfill)
        if old.ended is not None:
            raise Conflict(f"backfill {old.id} has ended already: {old.state}")
        if old.state == state:
            return answer(_view(old, kv.modified), status)
        if old.state == "cancelling":
            raise Conflict(f"backfill {old.id} is being cancelled")
        new = change(old)
        changes: list[Put | Delete] = [Put(kv.key, encode(new))]
        if state == "cancelling":
            command = Command("cancel", call.who.name, call.services.clock.now())
            changes += [Put(keys.command(run, new_id(command.at)), encode(command)) for run in new.active]
        view = _view(new, 0)
        revision = await call.commit(
            [Condition(kv.key, modified=kv.modified)], changes, new.id, answer=view, status=status
        )
        if revision is not None:
            return answer(replace(view, revision=revision), status)
    raise call.conflict(f"backfill {call.request.path_params['backfill']}")


async def _find(call: Call) -> KeyValue:
    identifier = str(call.request.path_params["backfill"])
    found = await call.services.store.get(keys.backfill(identifier))
    if found is None:
        raise NotFound(f"there is no backfill {identifier!r}", hint="khantui backfills lists them")
    return found


async def _asked_for(call: Call) -> tuple[Backfill, Loaded, list[datetime]]:
    """The backfill that a body means, with its logical times. Raises InvalidRequest and NotFound."""
    name, body = call.name(), await call.body(StartBackfill)
    loaded, now = await call.services.catalogue.current(name), call.services.clock.now()
    if not 1 <= body.parallel <= MOST_AT_ONCE:
        raise InvalidRequest(f"{body.parallel} runs at once cannot be", hint=f"from 1 to {MOST_AT_ONCE}")
    steps, step, schedule = await _steps(call, name, body)
    start, end = _range(body, body.zone or steps.zone, now)
    times = await asyncio.to_thread(moments, steps, start, end)  # ten thousand take a while
    backfill = Backfill(
        id=short(new_id(now)),
        pipeline=name,
        start=start,
        end=end,
        steps=steps,
        step=step,
        schedule=schedule.name if schedule else "",
        parameters=check_parameters(loaded.pipeline, {**(schedule.parameters if schedule else {}), **body.parameters}),
        parallel=body.parallel,
        order=body.order,
        rerun=body.rerun,
        fresh=body.fresh,
        created=now,
        created_by=call.who.name,
        total=len(times),
    )
    return backfill, loaded, times


def _range(body: StartBackfill, zone: str, now: datetime) -> tuple[datetime, datetime]:
    """From when to when, both included; what lies ahead is left to schedules. Raises InvalidRequest."""
    if not body.start or not body.end:
        raise InvalidRequest("a backfill is of a range", hint="say from when (start) to when (end)")
    try:
        start, end = logical_time(body.start, zone, now), logical_time(body.end, zone, now)
        if len(body.end) <= 10:
            following = (end.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=end.tzinfo)
            end = following - timedelta(microseconds=1)
        if end < start:
            raise InvalidRequest("it ends before it starts", hint="exchange its start and its end")
        if start > now:
            raise InvalidRequest(f"{body.start} is ahead", hint="a backfill is of what has passed: make a schedule")
        return start, min(end, now.astimezone(start.tzinfo))
    except OverflowError as error:
        raise InvalidRequest(f"from {body.start} to {body.end} is out of range") from error


async def _steps(call: Call, pipeline: str, body: StartBackfill) -> tuple[Steps, str, Schedule | None]:
    """What the body's step means, in words too, and the schedule that it is of. Raises InvalidRequest, NotFound."""
    text, zone = body.step.strip(), body.zone or "UTC"
    zone_of(zone)
    if not text:
        schedule = await _only_schedule(call, pipeline)
        if schedule is None:
            return Steps(every=_DAY, zone=zone), "1d", None
    elif text[0].isdigit() and " " not in text:
        return Steps(every=_seconds(text), zone=zone), show_duration(_seconds(text)), None
    elif " " in text or text.startswith("@"):
        parse_cron(text)
        return Steps(cron=(text,), zone=zone), text, None
    else:
        kv = await call.services.store.get(keys.schedule(text))
        found = decode(kv.value, Schedule) if kv is not None else None
        if found is None or not call.sees(found.pipeline):
            raise NotFound(
                f"{text!r} is no step", hint="a span such as 1d, a cron expression, or the name of a schedule"
            )
        schedule = found
        if schedule.pipeline != pipeline:
            raise InvalidRequest(f"schedule {text!r} is of {schedule.pipeline}, not of {pipeline}")
    return steps_of(schedule), when(schedule), schedule


def _seconds(text: str) -> int:
    try:
        seconds = duration(text)
    except ValueError as error:
        raise InvalidRequest(f"step: {error}") from None
    if seconds < 1 or seconds > LONGEST or seconds != int(seconds):
        raise InvalidRequest(f"a step of {text} is out of range", hint="whole seconds, up to a year")
    return int(seconds)


async def _only_schedule(call: Call, pipeline: str) -> Schedule | None:
    """The schedule by which the pipeline runs again and again, if there is one. Raises InvalidRequest for several."""
    found: list[Schedule] = []
    async for page in call.services.store.scan(keys.SCHEDULES):
        every = (decode(kv.value, Schedule) for kv in page.items)
        found += [s for s in every if s.pipeline == pipeline and s.kind in ("cron", "every")]
    if len(found) > 1:
        names = ", ".join(s.name for s in found)
        raise InvalidRequest(f"{pipeline} has several schedules: {names}", hint="say which, or a span: --step 1d")
    return found[0] if found else None


def _moment(backfill: Backfill, loaded: Loaded, at: datetime, good: str) -> BackfillMoment:
    here = at.astimezone(zone_of(backfill.steps.zone))
    context = Context(
        logical_time=here,
        run_id="${run.id}",
        pipeline=backfill.pipeline,
        version=loaded.record.version,
        schedule=backfill.schedule,
        parameters=backfill.parameters,
    )
    return BackfillMoment(here, good, environment(loaded, context))


def _view(backfill: Backfill, revision: int) -> BackfillView:
    zone = zone_of(backfill.steps.zone)
    return BackfillView(
        id=backfill.id,
        pipeline=backfill.pipeline,
        start=backfill.start,
        end=backfill.end,
        step=backfill.step,
        zone=backfill.steps.zone,
        schedule=backfill.schedule,
        parameters=backfill.parameters,
        parallel=backfill.parallel,
        order=backfill.order,
        rerun=backfill.rerun,
        fresh=backfill.fresh,
        state=backfill.state,
        message=backfill.message,
        created=backfill.created,
        created_by=backfill.created_by,
        paused_by=backfill.paused_by,
        ended=backfill.ended,
        cursor=backfill.cursor.astimezone(zone) if backfill.cursor else None,
        active=backfill.active,
        progress={
            "total": backfill.total,
            "waiting": max(backfill.total - backfill.dealt, 0),
            "running": len(backfill.active),
            "skipped": backfill.skipped,
            "succeeded": backfill.succeeded,
            "failed": backfill.failed,
            "cancelled": backfill.cancelled,
        },
        revision=revision,
    )
