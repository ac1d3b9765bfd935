"""What is shown of schedules: how they are, when they fire, and what each firing would run with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from statistics import median

from backend.api import literals
from backend.api.call import Call
from backend.api.wire import FiringView, ForesightView, ScheduleView
from backend.errors import InvalidRequest
from backend.run.create import check_parameters
from backend.run.ids import new_id
from backend.run.state import Run, RunState
from backend.schedule.cron import parse_cron
from backend.schedule.describe import describe
from backend.schedule.model import Overlap, Schedule
from backend.schedule.moments import between, may_fire, since_last, upcoming
from backend.schedule.preview import Foreseen, foresee, opens
from backend.schedule.ticks import awake
from backend.schedule.warn import warnings
from backend.spec.interpolate import Context, InterpolationError, resolve
from backend.spec.quantity import show_duration
from backend.store import keys
from backend.store.catalogue import Loaded
from backend.store.codec import decode
from backend.zones import zone_of

AHEAD = 5  # firings that a list shows
RECENT = 50  # runs that are looked at for how long a good one takes
RESOLVED = 20  # firings whose environment is resolved, and what starts beside them looked for
FAR = 1000  # firings that are gone through for a change of the clocks
_MOST = 100  # keys asked for at once


async def schedule_views(call: Call, schedules: Sequence[tuple[Schedule, int]]) -> list[ScheduleView]:
    """Schedules with the revisions that last changed them, as a list shows them."""
    ids = list(dict.fromkeys(s.last_run for s, _ in schedules if s.last_run))
    runs: dict[str, Run] = {}
    for start in range(0, len(ids), _MOST):
        found = await call.services.store.get_many([keys.run(i) for i in ids[start : start + _MOST]])
        runs |= {run.id: run for kv in found if kv is not None and (run := decode(kv.value, Run))}
    now = call.services.clock.now()
    return [_view(schedule, revision, runs.get(schedule.last_run), now) for schedule, revision in schedules]


async def schedule_view(call: Call, schedule: Schedule, revision: int) -> ScheduleView:
    """One schedule, with what may surprise about it."""
    found = await call.services.store.get(keys.run(schedule.last_run)) if schedule.last_run else None
    now = call.services.clock.now()
    return _view(schedule, revision, decode(found.value, Run) if found else None, now, warnings(schedule, now))


def ahead(schedule: Schedule, now: datetime, count: int) -> tuple[datetime, ...]:
    """The next firings, in UTC."""
    since = opens(schedule, now)
    return tuple(islice(since_last(schedule, since), count)) if since is not None else ()


async def foreseen(
    call: Call, schedule: Schedule, others: Sequence[Schedule], old: Schedule | None = None
) -> ForesightView:
    """What a schedule will do, beside `others`; with the times of `old`, which it would take the place of."""
    now, count = call.services.clock.now(), call.number("n", 5, least=1, most=1000)
    loaded = await call.services.catalogue.current(schedule.pipeline)
    typical, busy = await _durations(call, schedule, now)
    begin, since = opens(schedule, now), _since(call)
    found: list[Foreseen] = []
    if begin is not None:
        begin = max(begin, since) if since is not None else begin
        found = foresee(schedule, begin, count, typical, _overlap(schedule, loaded), busy)
    return ForesightView(
        when=when(schedule),
        firings=tuple(_firing(schedule, loaded, others, each, index) for index, each in enumerate(found)),
        turned=_turned(schedule, begin) if begin is not None else None,
        name=schedule.name,
        pipeline=schedule.pipeline,
        zone=schedule.zone,
        typical=typical.total_seconds() if typical is not None else None,
        warnings=warnings(schedule, now),
        message=_nothing(schedule) if not found else "",
        old=ahead(old, now, count) if old else None,
        old_when=when(old) if old else "",
        old_zone=old.zone if old else "",
    )


def _since(call: Call) -> datetime | None:
    text = call.text("since")
    try:
        since = literals.moment(text) if text else None
    except ValueError:
        since = None
    if text and (since is None or since.tzinfo is None):
        raise InvalidRequest(f"since must be a moment, not {text!r}", hint="write 2026-11-23T06:00:00Z")
    return since


def _turned(schedule: Schedule, begin: datetime) -> datetime | None:
    """The first of the next firings at which the schedule's zone is another way from UTC than at the one before."""
    zone, before = zone_of(schedule.zone), None
    for at in islice(upcoming(schedule, begin), FAR):
        here = at.astimezone(zone).utcoffset()
        if before is not None and here != before:
            return at
        before = here
    return None


def _beside(at: datetime, others: Sequence[Schedule]) -> tuple[str, ...]:
    """The pipelines that other schedules start in the minute of `at`."""
    minute = at.replace(second=0, microsecond=0)
    before = minute - timedelta(seconds=1)  # what fires is looked for after a moment
    end = minute + timedelta(seconds=59)
    found = {o.pipeline for o in others if not (o.paused or o.done) and may_fire(o, minute) and between(o, before, end)}
    return tuple(sorted(found))


def when(schedule: Schedule) -> str:
    """When a schedule fires, in words."""
    if schedule.kind == "cron":
        return describe([parse_cron(expression) for expression in schedule.cron], zone_of(schedule.zone))
    if schedule.kind == "every":
        return f"every {show_duration(schedule.every)}"
    if schedule.kind == "once":
        return f"once at {schedule.at.isoformat()}" if schedule.at else "never"
    verb = {"succeeded": "", "failed": " failed", "ended": " ended"}[schedule.condition]
    names = (" and " if schedule.join == "all" else ", ").join(schedule.after)
    if schedule.join == "all" and len(schedule.after) > 1:
        names += {"date": " of the same date", "time": " of the same time", "latest": ""}[schedule.match]
    return f"after {names}{verb}"


def _view(
    schedule: Schedule, revision: int, last: Run | None, now: datetime, warned: tuple[str, ...] = ()
) -> ScheduleView:
    schedule = awake(schedule, now)
    due_by = last.due_by if last else None
    overdue = last is not None and due_by is not None and not last.state.ended and now >= due_by
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
        last_state=last.state.value if last else "",
        next=ahead(schedule, now, AHEAD),
        done=schedule.done,
        message=schedule.message,
        revision=revision,
        when=when(schedule),
        every=schedule.every,
        condition=schedule.condition,
        join=schedule.join,
        match=schedule.match,
        window=schedule.window,
        overlap=schedule.overlap,
        jitter=schedule.jitter,
        start=schedule.start,
        end=schedule.end,
        skip=schedule.skip,
        calendars=tuple(schedule.calendars),
        deadline=schedule.deadline,
        paused_until=schedule.paused_until,
        due_by=due_by,
        late=overdue or (last is not None and last.late),
        met={key: tuple(sorted(causes)) for key, causes in schedule.met.items()},
        warnings=warned,
    )


async def _durations(call: Call, schedule: Schedule, now: datetime) -> tuple[timedelta | None, datetime | None]:
    """How long a good run of its pipeline takes, and until when its last one is therefore active."""
    store, prefix = call.services.store, keys.by_pipeline(schedule.pipeline)
    page = await store.page(prefix, keys.after(prefix), limit=RECENT, keys_only=True)
    found = await store.get_many([keys.run(keys.run_of(item.key)) for item in page.items]) if page.items else []
    runs = [decode(kv.value, Run) for kv in found if kv is not None]
    good = [r for r in runs if r.state is RunState.SUCCEEDED]
    took = [(r.ended - r.started).total_seconds() for r in good if r.started and r.ended]
    typical = timedelta(seconds=median(took)) if took else None
    active = next((r for r in runs if r.id == schedule.last_run and not r.state.ended), None)
    if active is None or typical is None:
        return typical, None
    return typical, max(now, (active.started or now) + typical)


def _overlap(schedule: Schedule, loaded: Loaded) -> Overlap:
    """What becomes of a firing while the run before it is active, as far as that follows from the documents."""
    concurrency = loaded.pipeline.concurrency
    return schedule.overlap or (concurrency.when_full if concurrency.limit == 1 else "")


def _firing(schedule: Schedule, loaded: Loaded, others: Sequence[Schedule], each: Foreseen, index: int) -> FiringView:
    moment = each.tick.astimezone(zone_of(schedule.zone))
    identifier = new_id(each.tick, seed=schedule.name)
    resolved: dict[str, str] = {}
    if index < RESOLVED:
        context = Context(
            logical_time=moment,
            run_id=identifier,
            pipeline=schedule.pipeline,
            version=loaded.record.version,
            schedule=schedule.name,
            parameters=check_parameters(loaded.pipeline, schedule.parameters),
        )
        resolved = environment(loaded, context)
    return FiringView(
        at=each.tick,
        beside=_beside(each.tick, others) if index < RESOLVED else (),
        run=identifier,
        logical_time=moment,
        starts=each.starts,
        ends=each.ends,
        due_by=each.due_by,
        late=each.late,
        clash=each.clash,
        environment=resolved,
    )


def environment(loaded: Loaded, context: Context) -> dict[str, str]:
    """What a pipeline's environment would be; where it cannot be resolved, why."""
    try:
        return resolve(loaded.pipeline.environment, context)
    except InterpolationError as error:
        return {error.variable or "?": f"({error.message})"}


def _nothing(schedule: Schedule) -> str:
    if schedule.paused:
        return f"it is paused{f': {schedule.paused_reason}' if schedule.paused_reason else ''}"
    return "it fires when others end, not by the clock" if schedule.kind == "after" else "it fires no more"
