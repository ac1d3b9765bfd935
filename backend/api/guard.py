"""The guard that every operation goes through before its handler begins; what it asks is decided in backend.access."""

from __future__ import annotations

from backend.access.decide import decide, decide_anywhere
from backend.api.call import Call
from backend.api.operations import Operation
from backend.api.refusals import refused
from backend.api.runs import find
from backend.errors import NotFound
from backend.run.state import Run
from backend.schedule.backfill import Backfill
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.codec import decode


async def guard(call: Call, operation: Operation) -> None:
    """Raises NotAllowed where the caller may not do this, and NotFound where they may not know of it."""
    grants = call.grants
    whole = decide(grants, operation.role, None)
    if whole.allowed:
        return
    if operation.on == "all":
        raise refused(call.who, call.operation, whole, None)
    anywhere = decide_anywhere(grants, operation.role)
    if not anywhere.allowed:
        raise refused(call.who, call.operation, anywhere, None, most=True)
    if operation.on in ("pipeline", "run", "schedule", "backfill"):
        pipeline, missing = await _named(call, operation)
        if pipeline:
            await call.permit(operation.role, pipeline, missing)


async def _named(call: Call, operation: Operation) -> tuple[str, NotFound]:
    """The pipeline that the path leads to, and what is said to who may not know of it; "" if it leads nowhere.

    Then the handler says so; or, where it makes what is not there, asks for the pipeline that it is made for.
    """
    store, given = call.services.store, call.request.path_params
    if operation.on == "pipeline":
        name = call.name()
        return name, NotFound(f"there is no pipeline {name!r}", hint="khantui pipelines lists them")
    if operation.on == "run":
        kv = await find(call)
        call.found = kv
        missing = NotFound(f"there is no run {str(given['run'])!r}", hint="khantui runs lists them")
        return decode(kv.value, Run).pipeline, missing
    if operation.on == "schedule":
        name = call.name()
        kept = await store.get(keys.schedule(name))
        missing = NotFound(f"there is no schedule {name!r}", hint="khantui schedules lists them")
        return decode(kept.value, Schedule).pipeline if kept else "", missing
    identifier = str(given["backfill"])
    kept = await store.get(keys.backfill(identifier))
    missing = NotFound(f"there is no backfill {identifier!r}", hint="khantui backfills lists them")
    return decode(kept.value, Backfill).pipeline if kept else "", missing
