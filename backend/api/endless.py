"""Streams that go on for as long as somebody listens, which is longer than a role or a token may hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

from starlette.responses import Response, StreamingResponse

from backend.api.call import Call
from backend.api.guard import guard
from backend.api.operations import Operation
from backend.errors import KhanError, TooMany

AGAIN = 3.0  # seconds after which it is looked again who asks, and whether they still may
_ENDLESS = ("text/event-stream", "application/x-ndjson")


def ended_in_time(call: Call, operation: Operation, response: Response) -> Response:
    """The same answer; one that is endless ends when its caller's token or role has. Who may, takes it up again.

    Raises TooMany for who has too many of them; the owner is not held to it.
    """
    if isinstance(response, StreamingResponse) and operation.media in _ENDLESS:
        if not call.who.principal.owner:
            call.services.streams.check(call.who.name)
        parts = cast("AsyncGenerator[bytes, None]", response.body_iterator)
        response.body_iterator = _while_allowed(call, operation, parts)
    return response


async def _while_allowed(call: Call, operation: Operation, parts: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    looked, streams = time.monotonic(), call.services.streams
    streams.began(call.who.name)
    waiting: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            waiting = waiting or asyncio.create_task(_next(parts))
            left = looked + AGAIN - time.monotonic()
            done, _ = await asyncio.wait({waiting}, timeout=max(0.0, left))  # also of what has nothing to say
            if time.monotonic() - looked >= AGAIN:
                looked = time.monotonic()
                if not await _allowed(call, operation):
                    return
            if done:
                part, waiting = waiting.result(), None
                if part is None:
                    return
                yield part
    finally:
        streams.ended(call.who.name)
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait({waiting})
        await parts.aclose()


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(parts, None)


async def _allowed(call: Call, operation: Operation) -> bool:
    try:
        await call.services.login.identify(call.request)
        call.found = None
        await guard(call, operation)
    except KhanError as error:
        return error.status >= 500 or isinstance(error, TooMany)  # it is only not known at the moment
    return True
