"""Results that may stand for later ones: which there are, and having them forgotten."""

from __future__ import annotations

from starlette.responses import Response

from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.wire import ClearResults, Page, ResultsCleared, ResultView
from backend.errors import InvalidRequest, NotFound
from backend.store import keys
from backend.store.codec import decode
from backend.store.results import Result, clear


@operation(
    "GET",
    "/pipelines/{name}/cache",
    answer=Page,
    items=ResultView,
    query={**PAGING, "stage": "of this stage"},
)
async def list_results(call: Call) -> Response:
    """Results of a pipeline's stages that may stand for later ones"""
    name, stage = call.name(), call.text("stage")
    if "/" in stage:
        raise InvalidRequest(f"{stage!r} cannot be a name")
    prefix = keys.results(name, stage)
    at = cursor.within(call, prefix)
    start = at.key + "\0" if at else prefix
    page = await call.services.store.page(start, keys.after(prefix), limit=call.limit)
    items = []
    for kv in page.items:
        _, _, of, digest = kv.key.split("/")
        result = decode(kv.value, Result)
        size = sum(record.bytes for record in result.outputs.values())
        items.append(ResultView(of, result.instance, digest, result.run, result.at, size))
    following = cursor.pack(cursor.Cursor(page.revision, page.items[-1].key)) if page.more else None
    return answer(Page(items, following, None, page.revision))


@operation("POST", "/pipelines/{name}/cache/clear", body=ClearResults, answer=ResultsCleared, role="operator")
async def clear_results(call: Call) -> Response:
    """Have the results of a pipeline, or of one of its stages, forgotten: the next run makes them anew"""
    await call.seen_before()
    name, body = call.name(), await call.body(ClearResults)
    if body.stage:
        loaded = await call.services.catalogue.current(name)
        if body.stage not in loaded.pipeline.stages:
            stages = ", ".join(loaded.pipeline.stages)
            raise NotFound(f"{name} has no stage {body.stage!r}", hint=f"its stages: {stages}")
    count, changes = await clear(call.services.store, name, body.stage)
    cleared = ResultsCleared(count)
    if await call.commit([], changes, name, answer=cleared, stage=body.stage, results=count) is None:
        raise call.conflict(f"the cache of {name}")
    return answer(cleared)
