"""Serving the application through its doors: each is a server of its own, and all of them end together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from backend.api.doors import PEER, Door, Marked, Way, peer

SLOWEST_HEADERS = 15.0  # seconds until a request's headers must be there, and a new connection must have asked
SLOWEST_REQUEST = 75.0  # and until it has sent the rest as well, even if it was answered before
SLOWEST_READER = (
    60.0  # seconds without room for what is said, after which one has waited long enough (twice as long at most)
)
LARGEST_HEADERS = 64 << 10  # bytes of them, with the URL
_LAST_WORDS = 2.0  # seconds for requests that are cancelled as the daemon ends
MOST_AT_ONCE = 2000  # requests and connections of one door


class _Server(uvicorn.Server):
    """Signals are the daemon's own matter."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(HttpToolsProtocol):
    """HTTP that does not wait for ever for a request, nor for answers to be read, nor keeps any amount of headers."""

    _timer: asyncio.TimerHandle | None = None
    _watch: asyncio.TimerHandle | None = None
    _stuck = False  # whether there was no room for what is to be said when it was last looked
    _size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Whoever connects has to ask."""
        super().connection_made(transport)
        self._wait(SLOWEST_HEADERS)
        self._watch = self.loop.call_later(SLOWEST_READER, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._heard()
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """There is room again."""
        self._stuck = False
        super().resume_writing()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._size = 0
        self._wait(SLOWEST_HEADERS)

    def on_url(self, url: bytes) -> None:
        self._grow(len(url), 414, b"URI Too Long")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._grow(len(name) + len(value), 431, b"Request Header Fields Too Large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._wait(SLOWEST_REQUEST)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._heard()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        with contextlib.suppress(_TooLarge):
            super().data_received(data)

    def _look(self) -> None:
        """End a connection whose other end does not read; also one that is closed but for what it does not take."""
        stuck = self.flow.write_paused or self.transport.is_closing()
        if stuck and self._stuck:
            self.transport.abort()
            return
        self._stuck = stuck
        self._watch = self.loop.call_later(SLOWEST_READER, self._look)

    def _wait(self, seconds: float) -> None:
        self._heard()
        self._timer = self.loop.call_later(seconds, self._given_up)

    def _heard(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _given_up(self) -> None:
        self._say(408, b"Request Timeout")

    def _grow(self, by: int, status: int, phrase: bytes) -> None:
        self._size += by
        if self._size > LARGEST_HEADERS:
            self._say(status, phrase)
            raise _TooLarge

    def _say(self, status: int, phrase: bytes) -> None:
        """The last that is said on this connection."""
        self._heard()
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # amid another answer nothing can be said
        elif not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %d %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (status, phrase))
            self.transport.close()


class _TooLarge(Exception):
    """A request's headers are larger than is taken."""


class _LocalProtocol(_Protocol):
    """HTTP on a unix socket: each request's scope says which user has connected."""

    _peer: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel, once for all requests of the connection."""
        self._peer = peer(transport.get_extra_info("socket"))
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """Say it of a request."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[PEER] = self._peer


async def serve(app: ASGIApp, probes: ASGIApp, doors: Sequence[Door], ready: Callable[[], None]) -> None:
    """Serve until cancelled; `ready` is called once all doors are open. Closes them."""
    servers = [_server(probes if door.way is Way.PROBES else app, door) for door in doors]
    tasks = [asyncio.create_task(s.serve([d.socket])) for s, d in zip(servers, doors, strict=True)]
    try:
        while not all(s.started for s in servers) and not any(t.done() for t in tasks):
            await asyncio.sleep(0.002)
        if not any(t.done() for t in tasks):
            ready()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in servers:
            await _emptied(server)
        for door in doors:
            door.close()


async def _emptied(server: _Server) -> None:
    """What was cancelled ends, and its connections are closed, before that is closed which it uses."""
    state = server.server_state
    if state.tasks:
        await asyncio.wait(set(state.tasks), timeout=_LAST_WORDS)
    for connection in tuple(state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)  # in which they hear of it


def _server(app: ASGIApp, door: Door) -> _Server:
    config = uvicorn.Config(
        Marked(app, door.way),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # who asks is who has connected, whatever a header says
        http=_LocalProtocol if door.way is Way.UNIX else _Protocol,
        ws="none",
        timeout_graceful_shutdown=1,
        limit_concurrency=MOST_AT_ONCE,
    )
    config.load()
    config.ssl = door.tls
    return _Server(config)
