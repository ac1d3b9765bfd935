"""The logs of a run as one, in the order of time; and searches over runs of a pipeline, the newest first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Hashable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response, StreamingResponse

from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.literals import number
from backend.api.logs import MOST, PART, SEARCH, SECONDS, Part, expression, view
from backend.api.operations import operation
from backend.api.runs import find, loaded_of, records
from backend.api.wire import LogHit, LogHits, MergedLineView, MergedPage
from backend.errors import InvalidRequest, NotFound
from backend.logs.expression import Expression
from backend.logs.merged import LogKey, MergedLine, MergedMatch
from backend.run.state import Run, StageRecord
from backend.store import keys
from backend.store.base import KeyValue
from backend.store.codec import decode
from backend.store.feed import Lost

WHICH = {
    "stage": "of this stage or instance; may be given several times (all)",
    "attempts": "all, newest, or the number of one (all)",
}
AT_ONCE = 50  # runs whose records are read together
GATHERED = 0.1  # seconds for which changes of a run are gathered


class Which(NamedTuple):
    """Which logs of a run."""

    stages: tuple[str, ...]
    attempts: str  # all, newest, or a number

    @classmethod
    def of(cls, call: Call) -> Which:
        """From the request. Raises InvalidRequest."""
        attempts = call.text("attempts", "all")
        if attempts not in ("all", "newest") and number(attempts) is None:
            raise InvalidRequest(f"attempts must be all, newest or a number, not {attempts[:40]!r}")
        return cls(tuple(call.texts("stage")), attempts)

    def keys(self, run: str, found: Mapping[str, StageRecord]) -> dict[LogKey, bool]:
        """The logs, in the order in which they were begun, and whether each attempt has ended."""
        logs = []
        for record in self._meant(found):
            chosen = record.attempts[-1:] if self.attempts == "newest" else record.attempts
            for attempt in chosen:
                if self.attempts.isdecimal() and attempt.number != int(self.attempts):
                    continue
                begun = attempt.started.timestamp() if attempt.started else float("inf")
                logs.append((begun, LogKey(run, record.name, attempt.number), attempt.ended is not None))
        return {key: ended for _, key, ended in sorted(logs)}

    async def logs(self, call: Call, run: str) -> dict[LogKey, bool]:
        """The same, and before them the logs of stages that were kept from other runs: of the attempt that counts."""
        found = await records(call, run)
        reused = [] if self.attempts.isdecimal() else [r for r in self._meant(found) if r.reused_from]
        kept: dict[LogKey, bool] = {}
        for origin in sorted({r.reused_from for r in reused}):
            theirs = await records(call, origin)
            names = {r.name for r in reused if r.reused_from == origin} & theirs.keys()
            kept |= self._replace(attempts="newest").keys(origin, {name: theirs[name] for name in sorted(names)})
        return kept | self.keys(run, found)

    def _meant(self, found: Mapping[str, StageRecord]) -> list[StageRecord]:
        if not self.stages:
            return list(found.values())
        return [r for r in found.values() if {r.name, r.name.partition(".")[0]} & set(self.stages)]

    async def check(self, call: Call, run: Run) -> None:
        """Raises NotFound for a stage that the run does not have."""
        loaded = await loaded_of(call, run) if self.stages else None
        if loaded is not None:
            known = {name for i in loaded.plan.instances.values() for name in (i.name, i.stage)}
            for name in self.stages:
                if name not in known:
                    raise NotFound(
                        f"run {run.id} has no stage {name!r}", hint=f"khantui status {run.id} shows its stages"
                    )


@operation("GET", "/runs/{run}/log", answer=MergedPage, query={**WHICH, **PART})
async def get_merged_log(call: Call) -> Response:
    """Part of several logs of a run, or of all, as one log in the order of time"""
    run, which, part = decode((await find(call)).value, Run), Which.of(call), Part.of(call)
    await which.check(call, run)
    found = await which.logs(call, run.id)

    def read() -> MergedPage:
        merged = call.services.logs.merged.get((run.id, which))
        merged.update(found)
        start, limit = part.range(merged.total, merged.since)
        lines = tuple(map(line_view, merged.lines(start, limit)))
        complete = run.state.ended and merged.complete
        sizes = (merged.total, merged.bytes)
        return MergedPage(run.id, len(merged.keys), lines, *sizes, complete, merged.archived, merged.first_error)

    return answer(await asyncio.to_thread(read))


@operation(
    "GET",
    "/runs/{run}/log/follow",
    query={**WHICH, "line": "from this line on (1)", "tail": "or the last so many lines"},
    media="application/x-ndjson",
)
async def follow_merged_log(call: Call) -> Response:
    """Lines of several logs of a run, or of all, as they come, one JSON object a line, until the run has ended"""
    run, which = decode((await find(call)).value, Run), Which.of(call)
    start = call.number("line", 1, least=1)
    tail = call.number("tail", 0, most=MOST) if call.text("tail") else None
    await which.check(call, run)
    return StreamingResponse(_followed(call, run.id, which, start, tail), media_type="application/x-ndjson")


async def _followed(call: Call, run_id: str, which: Which, start: int, tail: int | None) -> AsyncIterator[bytes]:
    feed, store, logs = call.services.feed, call.services.store, call.services.logs
    merged = logs.merged.get((run_id, which))
    subscription = feed.subscribe(keys.stages(run_id), keys.run(run_id))
    try:
        while True:
            kv = await store.get(keys.run(run_id))
            found = await which.logs(call, run_id) if kv is not None else {}
            ended = kv is None or decode(kv.value, Run).state.ended
            changed = False
            while not changed:
                grown = logs.grown
                await asyncio.to_thread(merged.update, found)
                if tail is not None:
                    start, tail = max(merged.total - tail, 0) + 1, None
                while start <= merged.total:
                    lines = await asyncio.to_thread(merged.lines, start, 2000)
                    start = start + 2000 if not lines else lines[-1].number + 1
                    yield b"".join(msgspec.json.encode(line_view(line)) + b"\n" for line in lines)
                if ended and merged.complete:
                    return
                try:
                    changed = await _first(subscription.next(), logs.more(grown))
                except Lost:
                    feed.unsubscribe(subscription)
                    subscription = feed.subscribe(keys.stages(run_id), keys.run(run_id))
                    changed = True
                else:
                    await asyncio.sleep(GATHERED if changed else 0)
    finally:
        feed.unsubscribe(subscription)


async def _first(one: Coroutine[Any, Any, object], other: Coroutine[Any, Any, object]) -> bool:
    """Whether `one` has come to its end, as soon as either has. Raises what it raises."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0] in done:
            tasks[0].result()
        return tasks[0] in done
    finally:
        for task in tasks:
            task.cancel()


@operation(
    "GET",
    "/runs/{run}/log/search",
    answer=LogHits,
    query={
        **WHICH,
        **SEARCH,
        "line": "from this line on (1)",
        "before": "or before this line, the nearest first",
        "limit": "how many matches at most (100)",
        "cursor": "where to go on, from the answer before",
    },
)
async def search_run(call: Call) -> Response:
    """Lines of the logs of a run that match, in the order of time, with their neighbours"""
    run, which, wanted = decode((await find(call)).value, Run), Which.of(call), expression(call)
    await which.check(call, run)
    before = call.number("before", 0, least=1)
    at = cursor.unpack(call.text("cursor"))
    start = _number(at) if at else before or call.number("line", 1, least=1)
    search = _Search(call, wanted, back=bool(before))
    following = await search.run(run, await which.logs(call, run.id), (run.id, which), start)
    return answer(search.hits(cursor.pack(cursor.Cursor(0, str(following))) if following else None))


@operation(
    "GET",
    "/pipelines/{name}/log/search",
    answer=LogHits,
    query={
        **WHICH,
        **SEARCH,
        "limit": "how many matches at most (100)",
        "cursor": "where to go on, from the answer before",
    },
)
async def search_pipeline(call: Call) -> Response:
    """Lines of the logs of all runs of a pipeline that match, the newest run first, with their neighbours"""
    name, which, wanted = call.name(), Which.of(call), expression(call)
    at = cursor.unpack(call.text("cursor"))
    prefix = keys.by_pipeline(name)
    start, number = prefix, 1
    if at is not None:
        start, _, text = at.key.partition("\t")
        number = _number(cursor.Cursor(0, text))
        if not start.startswith(prefix):
            raise InvalidRequest("this cursor is of another pipeline")
    search = _Search(call, wanted)
    while True:
        page = await call.services.store.page(start, keys.after(prefix), limit=AT_ONCE, keys_only=True)
        if at is None and start == prefix and not page.items:
            await call.services.catalogue.current(name)  # raises NotFound
        ids = [keys.run_of(item.key) for item in page.items]
        held = await call.services.store.get_many([keys.run(i) for i in ids]) if ids else []
        every = await asyncio.gather(*(records(call, i) for i in ids))
        for item, kv, found in zip(page.items, held, every, strict=True):
            following = await search.run_of(kv, found, which, number)
            if following:
                return answer(search.hits(_place(item.key, following)))
            number = 1
            if search.over:
                return answer(search.hits(_place(item.key + "\0", 1)))
        if not page.more:
            return answer(search.hits(None))
        start = page.items[-1].key + "\0"


class _Search:
    """One request's search: how much it may still find, and for how long."""

    def __init__(self, call: Call, wanted: Expression, *, back: bool = False) -> None:
        self._logs = call.services.logs
        self._wanted, self._back = wanted, back
        self._limit = call.number("limit", 100, least=1, most=1000)
        self._context = call.number("context", 0, most=100)
        self._end = time.monotonic() + SECONDS
        self._found: list[LogHit] = []
        self._runs = self._looked = self._bytes = 0
        self._at: datetime | None = None
        self._damaged: dict[str, None] = {}

    @property
    def over(self) -> bool:
        """Whether enough was found, or the time is up."""
        return len(self._found) >= self._limit or time.monotonic() > self._end

    async def run_of(
        self, kv: KeyValue | None, found: Mapping[str, StageRecord], which: Which, start: int
    ) -> int | None:
        """Like `run`; nothing of a run that is gone."""
        if kv is None:
            return None
        run = decode(kv.value, Run)
        return await self.run(run, which.keys(run.id, found), (run.id, which, "its own"), start)

    async def run(self, run: Run, logs: Mapping[LogKey, bool], name: Hashable, start: int) -> int | None:
        """Look through a run from a line on: the line to go on with, None when it was looked through.

        Its merged log has that name.
        """
        self._runs, self._looked, self._at = self._runs + 1, self._looked + len(logs), run.created
        if not logs:
            return None
        most, seconds = self._limit - len(self._found), max(self._end - time.monotonic(), 0.05)
        return await asyncio.to_thread(self._look, run, logs, name, start, most, seconds)

    def _look(
        self, run: Run, logs: Mapping[LogKey, bool], name: Hashable, start: int, most: int, seconds: float
    ) -> int | None:
        merged = self._logs.merged.get(name, keep=False)
        merged.update(logs)
        found = merged.search(
            self._wanted, start=start, limit=most, context=self._context, seconds=seconds, back=self._back
        )
        self._bytes += found.bytes
        self._damaged |= dict.fromkeys(found.damaged)
        self._found += [_hit(run, match) for match in found.matches]
        return found.next_number

    def hits(self, following: str | None) -> LogHits:
        """The answer."""
        damaged = tuple(self._damaged)
        return LogHits(tuple(self._found), following, self._runs, self._looked, self._bytes, self._at, damaged)


def line_view(merged: MergedLine) -> MergedLineView:
    """A line, as it crosses HTTP."""
    line, key = merged.line, merged.key
    return MergedLineView(
        merged.number, key.stage, key.number, line.number, line.offset, line.text, line.time, line.length, line.error
    )


def _hit(run: Run, found: MergedMatch) -> LogHit:
    match = found.match
    return LogHit(
        run.id,
        run.pipeline,
        run.state,
        run.logical_time,
        run.started,
        found.key.stage,
        found.key.number,
        found.number,
        view(match.line),
        tuple(map(view, match.before)),
        tuple(map(view, match.after)),
    )


def _place(key: str, number: int) -> str:
    return cursor.pack(cursor.Cursor(0, f"{key}\t{number}"))


def _number(at: cursor.Cursor) -> int:
    found = number(at.key)
    if found is None:
        raise InvalidRequest("this cursor is none of ours", hint="take it from the answer before")
    return found
