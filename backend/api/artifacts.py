"""Artifacts of a run: what it read and wrote, and their content."""

from __future__ import annotations

from typing import Literal

from starlette.responses import Response, StreamingResponse

from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.ranges import asked_for
from backend.api.runs import find, loaded_of, records
from backend.api.wire import ArtifactView, Page
from backend.errors import InvalidRequest, NotFound
from backend.run.state import Run
from backend.store import keys
from backend.store.codec import decode
from backend.store.records import External

Role = Literal["input", "intermediate", "output"]


@operation("GET", "/runs/{run}/artifacts", answer=Page, items=ArtifactView, query=PAGING)
async def list_artifacts(call: Call) -> Response:
    """What a run has read from outside and written, entry by entry"""
    kv = await find(call)
    views = await _views(call, decode(kv.value, Run))
    return answer(cursor.part(call, views, kv.modified))


@operation(
    "GET",
    "/runs/{run}/artifacts/{name}/content",
    query={"entry": "which instance's part of it", "path": "a file or folder inside of it"},
    media="application/octet-stream",
)
async def get_artifact(call: Call) -> Response:
    """An artifact's content: a file's bytes, a folder as a tar; a Range header asks for part of a file"""
    kv = await find(call)
    run, name, entry = decode(kv.value, Run), call.name(), call.text("entry")
    found = [v for v in await _views(call, run) if v.name == name and (not entry or v.entry == entry)]
    if not found:
        raise NotFound(f"run {run.id} has no artifact {name!r}", hint=f"khantui artifacts {run.id} lists them")
    if len(found) > 1:
        entries = ", ".join(v.entry for v in found[:5])
        raise InvalidRequest(f"{name!r} has several entries", hint=f"name one with entry=: {entries}")
    content = await call.services.artifacts.open(found[0].record, call.text("path"))
    safe = {"X-Content-Type-Options": "nosniff"}
    if content.kind == "folder":
        return StreamingResponse(content.tar(), media_type="application/x-tar", headers=safe)
    part = asked_for(call.request.headers.get("range", ""), content.bytes)
    return StreamingResponse(
        content.read(part.begin, part.end), part.status, part.headers | safe, "application/octet-stream"
    )


async def _views(call: Call, run: Run) -> list[ArtifactView]:
    loaded = await loaded_of(call, run)
    views: list[ArtifactView] = []
    async for page in call.services.store.scan(keys.inputs(run.id)):
        for kv in page.items:
            name = kv.key.rsplit("/", 1)[1]
            views += [ArtifactView(name, e.name, "input", "", 0, e.record) for e in decode(kv.value, External).entries]
    outputs = loaded.pipeline.outputs if loaded else {}
    instances = loaded.plan.instances if loaded else {}
    for stage, record in (await records(call, run.id)).items():
        entry = instances[stage].entry if stage in instances else ""
        for name, content in record.outputs.items():
            role: Role = "output" if name in outputs else "intermediate"
            views.append(ArtifactView(name, entry, role, stage, len(record.attempts), content))
    return sorted(views, key=lambda v: (("input", "intermediate", "output").index(v.role), v.name, v.entry))
