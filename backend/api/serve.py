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


class _Server(uvicorn.Server):
    """Signals are the daemon's own matter."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _LocalProtocol(HttpToolsProtocol):
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
        for door in doors:
            door.close()


def _server(app: ASGIApp, door: Door) -> _Server:
    config = uvicorn.Config(
        Marked(app, door.way),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # who asks is who has connected, whatever a header says
        http=_LocalProtocol if door.way is Way.UNIX else HttpToolsProtocol,
        ws="none",
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=64 << 10,
    )
    config.load()
    config.ssl = door.tls
    return _Server(config)
