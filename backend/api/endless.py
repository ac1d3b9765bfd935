"""Streams that go on for as long as somebody listens, which is longer than a role or a token may hold."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from backend.api.call import Call
from backend.api.guard import guard
from backend.api.operations import Operation
from backend.errors import KhanError

AGAIN = 10.0  # seconds after which it is looked again who asks, and whether they still may
_ENDLESS = ("text/event-stream", "application/x-ndjson")


def ended_in_time(call: Call, operation: Operation, response: Response) -> Response:
    """The same answer; one that is endless ends when its caller's token or role has. Who may, takes it up again.

    Raises TooMany for who has too many of them; the owner is not held to it.
    """
    if isinstance(response, StreamingResponse) and operation.media in _ENDLESS:
        if not call.who.principal.owner:
            call.services.streams.check(call.who.name)
        response.body_iterator = _while_allowed(call, operation, response.body_iterator)
    return response


async def _while_allowed(call: Call, operation: Operation, parts: Any) -> AsyncIterator[Any]:
    looked, streams = time.monotonic(), call.services.streams
    streams.began(call.who.name)
    try:
        async for part in parts:
            if time.monotonic() - looked >= AGAIN:
                looked = time.monotonic()
                try:
                    await call.services.login.identify(call.request)
                    call.found = None
                    await guard(call, operation)
                except KhanError as error:
                    if error.status < 500:  # else it is only not known at the moment
                        return
            yield part
    finally:
        streams.ended(call.who.name)
        await parts.aclose()
