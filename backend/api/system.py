"""The daemon itself: who answers, how it is, its metrics."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from starlette.responses import Response

from backend import __version__
from backend.access.decide import Grant, decide, decide_anywhere
from backend.api.call import Call, answer
from backend.api.channels import deliveries
from backend.api.operations import OPERATIONS, Operation, operation
from backend.api.views import role_view
from backend.api.wire import DaemonView, WhoView
from backend.errors import StoreError
from backend.run.state import RunState
from backend.store import keys


@operation("GET", "", answer=DaemonView, on="any")
async def get_daemon(call: Call) -> Response:
    """Who answers"""
    services = call.services
    store: dict[str, Any] = msgspec.structs.asdict(await services.store.health())
    view = DaemonView(
        version=__version__,
        executor=services.executor,
        sandboxed=services.sandboxed,
        leader=services.leader(),
        data=str(services.layout.root),
        pid=os.getpid(),
        slots=services.slots,
        store=store,
        clock=services.clock_warning(),
    )
    return answer(view)


@operation("GET", "/whoami", answer=WhoView, role="anyone", on="any")
async def get_whoami(call: Call) -> Response:
    """Who asks, what roles they have, and what these do not let them do"""
    who, grants = call.who, call.grants
    refused: dict[str, str] = {o.id: o.role for o in OPERATIONS if not _may(grants, o)}
    return answer(
        WhoView(
            who.name,
            who.origin,
            grants[0].binding.role if grants else "anyone",
            refused,
            tuple(map(role_view, grants)),
            {o.id: o.role for o in OPERATIONS if o.id not in refused and not decide(grants, o.role, None).allowed},
        )
    )


def _may(grants: tuple[Grant, ...], operation: Operation) -> bool:
    """Whether these allow an operation, on something at least."""
    if operation.on == "all":
        return decide(grants, operation.role, None).allowed
    return decide_anywhere(grants, operation.role).allowed


async def healthz(call: Call) -> Response:
    """Whether the process answers; and how its store was a moment ago, which no restart of it would change"""
    standing = call.services.standing
    store = {"store": standing.state} | ({"message": standing.message} if standing.message else {})
    return answer({"status": "ok", "version": __version__, **store})


async def readyz(call: Call) -> Response:
    """Whether it can do its work: the store answers, and its changes are followed"""
    services = call.services
    try:
        health = await services.store.health()
    except StoreError as error:
        return answer({"status": "not ready", "store": error.message}, 503)
    following = services.feed.started.is_set()
    state: dict[str, Any] = {
        "status": "ok" if following else "not ready",
        "store": "full" if health.full else "ok",
        "leader": services.leader(),
        "channels_failing": [name async for name, delivery in deliveries(services.store) if delivery.error],
    }
    return answer(state, 200 if following else 503)


async def metrics(call: Call) -> Response:
    """Prometheus metrics"""
    services = call.services
    shown = services.metrics
    shown.revision.set(services.feed.revision)
    shown.leader.set(services.leader())
    shown.sent(services.cluster_requests())
    try:
        health = await services.store.health()
        shown.store_bytes.set(health.size)
        shown.store_in_use.set(health.in_use)
        shown.store_quota.set(health.quota)
        shown.store_full.set(health.full)
        shown.active.set(await _count(call, keys.ACTIVE))
        for state in (RunState.QUEUED, RunState.RUNNING):
            shown.runs.labels(state).set(await _count(call, keys.by_state(state)))
        told = {name: found async for name, found in deliveries(services.store)}
        shown.channels_failing.set(sum(bool(found.error) for found in told.values()))
        shown.told({name: (found.sent, found.failed, found.dropped) for name, found in told.items()})
    except StoreError:
        shown.store_bytes.set(float("nan"))  # the scrape itself still works
    return Response(shown.text(), media_type="text/plain; version=0.0.4")


async def _count(call: Call, prefix: str) -> int:
    return (await call.services.store.page(prefix, keys.after(prefix), count_only=True)).count
