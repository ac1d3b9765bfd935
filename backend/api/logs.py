"""Logs: parts of them, their bytes, what is found in them, and what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import msgspec
from starlette.responses import Response, StreamingResponse

from backend.api.call import Call, answer
from backend.api.operations import operation
from backend.api.runs import find, records
from backend.api.wire import LogLineView, LogMatch, LogMatches, LogPage
from backend.errors import InvalidRequest, NotFound
from backend.logs.reader import Line, LogReader
from backend.logs.search import Match, pattern, search
from backend.run.state import Run
from backend.store.codec import decode

MOST = 10_000  # lines in one answer
QUICK = 16 << 20  # bytes of a log in which the first error is looked for unasked


@operation(
    "GET",
    "/runs/{run}/stages/{stage}/log",
    answer=LogPage,
    query={
        "attempt": "which attempt (the newest)",
        "line": "from this line on (1)",
        "limit": "how many lines at most (1000)",
        "tail": "the last so many lines",
        "since": "from what was written at this time on (RFC 3339)",
    },
)
async def get_log(call: Call) -> Response:
    """Part of an attempt's log"""
    run, stage, number = await _which(call)
    limit = call.number("limit", 1000, least=0, most=MOST)
    with call.services.logs.reader(run, stage, number) as reader:
        info = reader.info()
        start = call.number("line", 1, least=1)
        if call.text("tail"):
            start = max(info.lines - call.number("tail", 100, most=MOST), 0) + 1
            limit = min(limit, call.number("tail", 100, most=MOST)) if call.text("limit") else MOST
        elif call.text("since"):
            start = reader.since(_moment(call.text("since")))
        lines = reader.lines(start, limit, whole=True)
        error = await asyncio.to_thread(reader.first_error, QUICK)
        page = LogPage(
            run, stage, number, tuple(map(view, lines)), info.lines, info.bytes, info.complete, info.archived, error
        )
    return answer(page)


@operation(
    "GET", "/runs/{run}/stages/{stage}/log/raw", query={"attempt": "which attempt (the newest)"}, media="text/plain"
)
async def get_log_bytes(call: Call) -> Response:
    """An attempt's log as it was written; a Range header asks for part of it"""
    run, stage, number = await _which(call)
    reader = call.services.logs.reader(run, stage, number)
    size = reader.info().bytes
    begin, end, status = _range(call.request.headers.get("range", ""), size)
    headers = {"Content-Length": str(end - begin), "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    if status == 206:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    return StreamingResponse(_bytes(reader, begin, end), status, headers, "text/plain; charset=utf-8")


@operation(
    "GET",
    "/runs/{run}/stages/{stage}/log/follow",
    query={"attempt": "which attempt (the newest)", "line": "from this line on (1)"},
    media="application/x-ndjson",
)
async def follow_log(call: Call) -> Response:
    """Lines of a log as they come, one JSON object a line, until it ends"""
    run, stage, number = await _which(call, must_exist=False)
    start = call.number("line", 1, least=1)

    async def lines() -> AsyncIterator[bytes]:
        async for some in call.services.logs.follow(run, stage, number, start):
            yield b"".join(msgspec.json.encode(view(line)) + b"\n" for line in some)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@operation(
    "GET",
    "/runs/{run}/stages/{stage}/log/search",
    answer=LogMatches,
    query={
        "attempt": "which attempt (the newest)",
        "text": "what to look for",
        "regex": "or this regular expression",
        "ignore_case": "whatever the case",
        "line": "from this line on (1)",
        "limit": "how many matches at most (100)",
        "context": "how many lines around each (0)",
    },
)
async def search_log(call: Call) -> Response:
    """Lines of a log that match, with their neighbours"""
    run, stage, number = await _which(call)
    expression = call.text("regex")
    if not expression and not call.text("text"):
        raise InvalidRequest("there is nothing to look for", hint="text=… or regex=…")
    wanted = pattern(expression or call.text("text"), is_regex=bool(expression), ignore_case=call.flag("ignore_case"))
    with call.services.logs.reader(run, stage, number) as reader:
        found = await asyncio.to_thread(
            search,
            reader,
            wanted,
            start=call.number("line", 1, least=1),
            limit=call.number("limit", 100, least=1, most=1000),
            context=call.number("context", 0, most=100),
        )
    return answer(LogMatches(tuple(map(_match, found.matches)), found.next_line))


def view(line: Line) -> LogLineView:
    """A line, as it crosses HTTP."""
    return LogLineView(line.number, line.offset, line.text, line.time, line.length)


def _match(match: Match) -> LogMatch:
    return LogMatch(view(match.line), tuple(map(view, match.before)), tuple(map(view, match.after)))


async def _which(call: Call, *, must_exist: bool = True) -> tuple[str, str, int]:
    """The run, stage and attempt that are asked for. Raises NotFound."""
    kv = await find(call)
    run, stage = decode(kv.value, Run), call.instance()
    number = call.number("attempt", 0, least=1) if call.text("attempt") else 0
    if not number:
        record = (await records(call, run.id)).get(stage)
        if record and record.reused_from and not record.attempts:
            raise NotFound(
                f"{stage} was kept from run {record.reused_from}", hint=f"khantui logs {record.reused_from} {stage}"
            )
        number = len(record.attempts) if record else 0
    if not number and must_exist:
        raise NotFound(f"{stage} of run {run.id} has not been started", hint=f"khantui status {run.id} says why")
    return run.id, stage, number or 1


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"{text!r} is no time", hint="2026-11-23T06:00:00Z") from error
    if moment.tzinfo is None:
        raise InvalidRequest(f"{text!r} has no time zone", hint="2026-11-23T06:00:00Z")
    return moment


def _range(header: str, size: int) -> tuple[int, int, int]:
    """First byte, the one behind the last, and the status. Only single ranges; others mean everything."""
    unit, _, span = header.partition("=")
    first, dash, last = span.partition("-")
    if unit != "bytes" or not dash or "," in span:
        return 0, size, 200
    try:
        if not first:
            return max(size - int(last), 0), size, 206
        begin = int(first)
        return begin, max(min(int(last) + 1, size) if last else size, begin), 206 if begin < size else 200
    except ValueError:
        return 0, size, 200


def _bytes(reader: LogReader, begin: int, end: int) -> Iterator[bytes]:
    with reader:
        while begin < end:
            data = reader.raw(begin, min(1 << 20, end - begin))
            if not data:
                return
            yield data
            begin += len(data)
