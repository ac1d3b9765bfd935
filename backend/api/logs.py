"""Logs: parts of them, their bytes, what is found in them, and what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
from starlette.responses import Response, StreamingResponse

from backend.api import literals
from backend.api.call import Call, answer
from backend.api.operations import operation
from backend.api.ranges import asked_for
from backend.api.runs import find, records
from backend.api.wire import LogLineView, LogMatch, LogMatches, LogPage
from backend.errors import InvalidRequest, NotFound
from backend.logs.expression import ERRORS, Expression, pattern
from backend.logs.merged import LogKey
from backend.logs.reader import Line, LogReader
from backend.logs.search import Match, Matches, search, search_back
from backend.run.state import Run
from backend.store.codec import decode

MOST = 10_000  # lines in one answer
SECONDS = 3.0  # for which one search may go on
PART = {
    "line": "from this line on (1)",
    "limit": "how many lines at most (1000)",
    "tail": "the last so many lines",
    "since": "from what was written at this time on (RFC 3339)",
}
SEARCH = {
    "text": "what to look for",
    "regex": "or this regular expression",
    "errors": "or lines that speak of an error",
    "ignore_case": "whatever the case",
    "context": "how many lines around each (0)",
}


@operation(
    "GET",
    "/runs/{run}/stages/{stage}/log",
    answer=LogPage,
    query={"attempt": "which attempt (the newest)", **PART},
)
async def get_log(call: Call) -> Response:
    """Part of an attempt's log"""
    key, ended = await _which(call)
    part = Part.of(call)

    def read() -> LogPage:
        with call.services.logs.reader(*key, ended=ended) as reader:
            info = reader.info()
            start, limit = part.range(info.lines, reader.since)
            lines = reader.lines(start, limit, whole=True)
            error = reader.first_error()
            return LogPage(*key, tuple(map(view, lines)), info.lines, info.bytes, info.complete, info.archived, error)

    return answer(await asyncio.to_thread(read))


@operation(
    "GET", "/runs/{run}/stages/{stage}/log/raw", query={"attempt": "which attempt (the newest)"}, media="text/plain"
)
async def get_log_bytes(call: Call) -> Response:
    """An attempt's log as it was written; a Range header asks for part of it"""
    reader = await asyncio.to_thread(call.services.logs.reader, *(await _which(call))[0])
    part = asked_for(call.request.headers.get("range", ""), reader.source.size)
    headers = part.headers | {"X-Content-Type-Options": "nosniff"}
    return StreamingResponse(_bytes(reader, part.begin, part.end), part.status, headers, "text/plain; charset=utf-8")


@operation(
    "GET",
    "/runs/{run}/stages/{stage}/log/follow",
    query={"attempt": "which attempt (the newest)", "line": "from this line on (1)"},
    media="application/x-ndjson",
)
async def follow_log(call: Call) -> Response:
    """Lines of a log as they come, one JSON object a line, until it ends"""
    key, _ = await _which(call, must_exist=False)
    start = call.number("line", 1, least=1)

    async def lines() -> AsyncIterator[bytes]:
        async for some in call.services.logs.follow(*key, start):
            yield b"".join(msgspec.json.encode(view(line)) + b"\n" for line in some)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@operation(
    "GET",
    "/runs/{run}/stages/{stage}/log/search",
    answer=LogMatches,
    query={
        "attempt": "which attempt (the newest)",
        **SEARCH,
        "line": "from this line on (1)",
        "before": "or before this line, the nearest first; next_line is then where to go on so",
        "limit": "how many matches at most (100)",
    },
)
async def search_log(call: Call) -> Response:
    """Lines of a log that match, with their neighbours"""
    (key, _), wanted = await _which(call), expression(call)
    limit, context = call.number("limit", 100, least=1, most=1000), call.number("context", 0, most=100)
    start, before = call.number("line", 1, least=1), call.number("before", 0, least=1)

    def look() -> Matches:
        with call.services.logs.reader(*key) as reader:
            if before:
                return search_back(reader, wanted, before=before, limit=limit, context=context, seconds=SECONDS)
            return search(reader, wanted, start=start, limit=limit, context=context, seconds=SECONDS)

    found = await asyncio.to_thread(look)
    return answer(LogMatches(tuple(map(_match, found.matches)), found.next_line))


def expression(call: Call) -> Expression:
    """What is to be looked for. Raises InvalidRequest."""
    wanted = call.text("regex")
    if call.flag("errors"):
        return ERRORS
    if not wanted and not call.text("text"):
        raise InvalidRequest("there is nothing to look for", hint="text=…, regex=… or errors=1")
    return pattern(wanted or call.text("text"), is_regex=bool(wanted), ignore_case=call.flag("ignore_case"))


class Part(NamedTuple):
    """Which part of a log is asked for."""

    line: int
    limit: int
    tail: int | None
    since: datetime | None

    @classmethod
    def of(cls, call: Call) -> Part:
        """From the request. Raises InvalidRequest."""
        tail = call.number("tail", 100, most=MOST) if call.text("tail") else None
        limit = call.number("limit", 1000 if tail is None else MOST, least=0, most=MOST)
        since = _moment(call.text("since")) if call.text("since") else None
        return cls(call.number("line", 1, least=1), limit, tail, since)

    def range(self, total: int, number_at: Callable[[datetime], int]) -> tuple[int, int]:
        """The first line, and how many at most."""
        if self.tail is not None:
            return max(total - self.tail, 0) + 1, min(self.limit, self.tail)
        return (number_at(self.since) if self.since is not None else self.line), self.limit


def view(line: Line) -> LogLineView:
    """A line, as it crosses HTTP."""
    return LogLineView(line.number, line.offset, line.text, line.time, line.length, line.error)


def _match(match: Match) -> LogMatch:
    return LogMatch(view(match.line), tuple(map(view, match.before)), tuple(map(view, match.after)))


async def _which(call: Call, *, must_exist: bool = True) -> tuple[LogKey, bool]:
    """The run, stage and attempt that are asked for, and whether that is known to have ended. Raises NotFound."""
    kv = await find(call)
    run, stage = decode(kv.value, Run), call.instance()
    number = call.number("attempt", 0, least=1) if call.text("attempt") else 0
    ended = run.state.ended
    if not number:
        record = (await records(call, run.id)).get(stage)
        if record and record.reused_from and not record.attempts:
            raise NotFound(
                f"{stage} was kept from run {record.reused_from}", hint=f"khantui logs {record.reused_from} {stage}"
            )
        number = len(record.attempts) if record else 0
        ended = ended or bool(record and record.attempt and record.attempt.state.ended)
    if not number and must_exist:
        raise NotFound(f"{stage} of run {run.id} has not been started", hint=f"khantui status {run.id} says why")
    return LogKey(run.id, stage, number or 1), ended


def _moment(text: str) -> datetime:
    try:
        moment = literals.moment(text)
    except ValueError as error:
        raise InvalidRequest(f"{text!r} is no time", hint="2026-11-23T06:00:00Z") from error
    if moment.tzinfo is None:
        raise InvalidRequest(f"{text!r} has no time zone", hint="2026-11-23T06:00:00Z")
    return moment


def _bytes(reader: LogReader, begin: int, end: int) -> Iterator[bytes]:
    with reader:
        while begin < end:
            data = reader.raw(begin, min(1 << 20, end - begin))
            if not data:
                return
            yield data
            begin += len(data)
