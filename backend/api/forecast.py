"""The forecast: all schedules, and how long the runs of their pipelines have taken of late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import fmean

from starlette.responses import Response

from backend.api import literals
from backend.api.call import Call, answer
from backend.api.operations import operation
from backend.api.wire import ForecastView
from backend.errors import InvalidRequest
from backend.run.state import Run, RunState
from backend.schedule.forecast import Usual, forecast
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.base import Store
from backend.store.codec import decode
from backend.store.records import PipelineHead

SLOTS = (1, 5, 10, 15, 30, 60)  # minutes
NEWEST = 5000  # runs that tell how long they take, of whatever pipelines
LOOKED_UP = 500  # pipelines that are none of theirs, whose own newest runs are looked for
LATELY = 10  # good runs of a pipeline that count
NAMED = 100
_READ = 1000  # keys at a time
_AT_ONCE = 50  # pipelines that are looked up side by side
_QUERY = {
    "from": "the moment from which on (now)",
    "hours": "how many (24; 168 at most)",
    "slot": f"minutes of a slot (15; one of {', '.join(map(str, SLOTS))})",
}


@operation("GET", "/forecast", answer=ForecastView, query=_QUERY, on="list")
async def get_forecast(call: Call) -> Response:
    """What all schedules will start, the load that it makes, slot by slot, and minutes in which too much starts"""
    now, slot = call.services.clock.now(), call.number("slot", 15)
    hours = call.number("hours", 24, least=1, most=168)
    if slot not in SLOTS:
        raise InvalidRequest(f"slot must be one of {', '.join(map(str, SLOTS))} minutes, not {slot}")
    begin = _begin(call, now, slot)
    end = begin + timedelta(hours=hours)
    store = call.services.store
    schedules = [
        s
        async for page in store.scan(keys.SCHEDULES)
        for s in (decode(kv.value, Schedule) for kv in page.items)
        if call.sees(s.pipeline)
    ]
    usual = await _usual(store, {s.pipeline for s in schedules})
    # in a thread: with ten thousand schedules it takes seconds, and ticks must not wait
    whole = await asyncio.to_thread(forecast, schedules, usual, begin, end, timedelta(minutes=slot), now)
    unknown = sorted({p for p in whole.started.values() if usual.get(p, Usual()).seconds is None})
    return answer(
        ForecastView(
            begin=begin,
            end=end,
            slot=slot * 60,
            slots=whole.slots,
            busiest=whole.busiest,
            starts=whole.starts,
            estimated=whole.estimated,
            schedules=len(whole.started),
            unknown=tuple(unknown[:NAMED]),
            cut=whole.cut[:NAMED],
            places=call.services.slots,
        )
    )


def _begin(call: Call, now: datetime, slot: int) -> datetime:
    """The moment that is asked for, or the beginning of the slot that is now."""
    text = call.text("from")
    if not text:
        return now.replace(minute=now.minute - now.minute % slot, second=0, microsecond=0)
    try:
        begin = literals.moment(text)
        begin + timedelta(days=8)
    except (ValueError, OverflowError):
        begin = None
    if begin is None or begin.tzinfo is None:
        raise InvalidRequest(f"from must be a moment, not {text!r}", hint="write 2026-11-23T06:00:00Z")
    return begin.astimezone(now.tzinfo).replace(second=0, microsecond=0)


async def _usual(store: Store, pipelines: set[str]) -> dict[str, Usual]:
    """What runs of these pipelines are like: from the newest runs of all, and else from their own newest."""
    widths: dict[str, int] = {}
    async for page in store.scan(keys.PIPELINES):
        widths |= {
            h.name: h.width for h in (decode(kv.value, PipelineHead) for kv in page.items) if h.name in pipelines
        }
    took: dict[str, list[float]] = {}
    start, seen = keys.RUNS, 0
    while seen < NEWEST:
        found = await store.page(start, keys.after(keys.RUNS), limit=_READ)
        _note(took, (decode(kv.value, Run) for kv in found.items))
        seen += len(found.items)
        if len(found.items) < _READ:
            break
        start = f"{found.items[-1].key}\0"
    if seen >= NEWEST:
        unseen = sorted(pipelines - took.keys())[:LOOKED_UP]
        for start_at in range(0, len(unseen), _AT_ONCE):
            await asyncio.gather(*(_look_up(store, name, took) for name in unseen[start_at : start_at + _AT_ONCE]))
    return {
        name: Usual(fmean(took[name]) if name in took else None, widths.get(name, 1))
        for name in pipelines
        if name in took or name in widths
    }


async def _look_up(store: Store, pipeline: str, took: dict[str, list[float]]) -> None:
    prefix = keys.by_pipeline(pipeline)
    page = await store.page(prefix, keys.after(prefix), limit=LATELY, keys_only=True)
    if page.items:
        found = await store.get_many([keys.run(keys.run_of(item.key)) for item in page.items])
        _note(took, (decode(kv.value, Run) for kv in found if kv is not None))


def _note(took: dict[str, list[float]], runs: Iterable[Run]) -> None:
    for run in runs:
        if run.state is RunState.SUCCEEDED and run.started and run.ended:
            lately = took.setdefault(run.pipeline, [])
            if len(lately) < LATELY:
                lately.append((run.ended - run.started).total_seconds())
