"""One stream of all changes, from any revision that is remembered on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
from starlette.responses import Response, StreamingResponse

from backend.api.call import Call
from backend.api.literals import number
from backend.api.operations import operation
from backend.api.sight import Sight
from backend.api.views import run_view
from backend.api.wire import EventView
from backend.errors import InvalidRequest, StoreCompacted
from backend.run.state import Run
from backend.store import keys
from backend.store.base import Batch, Change
from backend.store.codec import decode
from backend.store.feed import Lost, Subscription

BEAT = 15.0  # seconds of silence after which a sign of life is sent


@operation(
    "GET",
    "/events",
    answer=EventView,
    query={
        "since": "changes after this revision (from now on)",
        "kind": "only of this kind; may be given several times",
    },
    media="text/event-stream",
    on="list",
)
async def stream_events(call: Call) -> Response:
    """Changes as they happen, as server-sent events; each one's id is its revision"""
    since = _since(call)
    wanted = set(call.texts("kind")) or set(_KINDS)
    if unknown := sorted(wanted - _KINDS.keys()):
        raise InvalidRequest(f"there are no events of kind {unknown[0]!r}", hint=f"kinds: {', '.join(_KINDS)}")
    try:
        subscription = call.services.feed.subscribe(*(_KINDS[k] for k in sorted(wanted)), since=since)
    except Lost:
        raise StoreCompacted(
            f"changes since revision {since} are not remembered any more", hint="list again, and follow from there"
        ) from None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(call, subscription), media_type="text/event-stream", headers=headers)


def _since(call: Call) -> int | None:
    text = call.text("since") or call.request.headers.get("last-event-id", "")
    if not text:
        return None
    found = number(text)
    if found is None:
        raise InvalidRequest(f"since must be a revision, not {text[:40]!r}")
    return found


async def _events(call: Call, subscription: Subscription) -> AsyncIterator[bytes]:
    streams, revision = call.services.metrics.streams, call.services.feed.revision
    streams.inc()
    waiting: asyncio.Task[Batch] | None = None
    sight = Sight(call)
    try:
        yield b": hello\n\n"
        while True:
            waiting = waiting or asyncio.create_task(subscription.next())
            done, _ = await asyncio.wait({waiting}, timeout=BEAT)
            if not done:
                yield b": still here\n\n"
                continue
            batch, waiting = waiting.result(), None
            revision = batch.revision
            yield b"".join([_written(_event(change)) for change in batch.changes if await sight.shows(change)])
    except Lost:
        yield _written(EventView(revision, "relist", "", None))
    finally:
        streams.dec()
        if waiting is not None:
            waiting.cancel()
        call.services.feed.unsubscribe(subscription)


_KINDS = {
    "run": keys.RUNS,
    "stage": keys.STAGES,
    "pipeline": keys.PIPELINES,
    "schedule": keys.SCHEDULES,
    "backfill": keys.BACKFILLS,
    "command": keys.COMMANDS,
}
_SINGULAR: dict[str, Literal["stage", "pipeline", "schedule", "backfill", "command"]] = {
    "stages": "stage",
    "pipelines": "pipeline",
    "schedules": "schedule",
    "backfills": "backfill",
    "commands": "command",
}


def _event(change: Change) -> EventView:
    kind, _, rest = change.key.partition("/")
    if kind == "runs":
        run_id = keys.run_of(change.key)
        run = decode(change.value, Run) if change.value is not None else None
        shown = msgspec.to_builtins(run_view(run, change.modified)) if run else None
        return EventView(change.modified, "run", run_id, shown)
    value: Any = msgspec.json.decode(change.value) if change.value is not None else None
    return EventView(change.modified, _SINGULAR[kind], rest, value)


def _written(event: EventView) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (event.revision, msgspec.json.encode(event))
