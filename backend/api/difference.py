"""What differs between two versions of a pipeline: the document, and each file of its code."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import Response

from backend.api.call import Call, answer
from backend.api.operations import operation
from backend.api.wire import VersionDiff
from backend.store.records import Version

_LONGEST = 256 << 10  # bytes of a file whose lines are compared


@operation(
    "GET",
    "/pipelines/{name}/diff",
    answer=VersionDiff,
    query={"from": "a version (the one before)", "to": "another (the current one)"},
)
async def diff_versions(call: Call) -> Response:
    """What differs between two versions, in the document and in the code"""
    name, services = call.name(), call.services
    to = call.number("to", (await services.catalogue.head(name)).version, least=1)
    old = (await services.catalogue.load(name, call.number("from", max(to - 1, 1), least=1))).record
    new = (await services.catalogue.load(name, to)).record
    before, after = _titles(old, new)
    lines = [*_compared(old.document.encode(), new.document.encode(), before, after)]
    if old.bundle != new.bundle:
        was, now = [await _folder(call, record) for record in (old, new)]
        lines += await asyncio.to_thread(lambda: [*_code(was, now)])
    return answer(VersionDiff(name, old.version, new.version, tuple(lines)))


def _titles(old: Version, new: Version) -> tuple[str, str]:
    return f"{old.pipeline} v{old.version}", f"{new.pipeline} v{new.version}"


async def _folder(call: Call, record: Version) -> Path | None:
    code = call.services.code
    return await code.path(record.bundle) if record.bundle and await code.has(record.bundle) else None


def _code(old: Path | None, new: Path | None) -> Iterator[str]:
    """The files that came, went or changed, one after another."""
    before, after = _files(old), _files(new)
    for name in sorted(before.keys() | after.keys()):
        was = before[name].read_bytes() if name in before else b""
        now = after[name].read_bytes() if name in after else b""
        yield from _compared(was, now, name if name in before else "/dev/null", name if name in after else "/dev/null")


def _files(folder: Path | None) -> dict[str, Path]:
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()} if folder else {}


def _compared(was: bytes, now: bytes, before: str, after: str) -> Iterator[str]:
    """A unified diff, or a sentence where lines would say nothing."""
    if was == now and "/dev/null" not in (before, after):
        return
    if max(len(was), len(now)) > _LONGEST or b"\0" in was or b"\0" in now:
        yield from (f"--- {before}", f"+++ {after}", f"@@ {len(was)} bytes, now {len(now)} @@")
        return
    old, new = (data.decode(errors="replace").splitlines() for data in (was, now))
    lines = [*difflib.unified_diff(old, new, before, after, lineterm="")]
    yield from lines or (f"--- {before}", f"+++ {after}", "@@ empty, or the ends of its lines @@")
