"""Serving the application on a unix socket that is its owner's alone, and on loopback TCP where that is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from backend.errors import KhanError

LONGEST = 100  # bytes of a socket's path; Linux takes 107


class _Server(uvicorn.Server):
    """Signals are the daemon's own matter."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: ASGIApp, path: Path, port: int | None, ready: Callable[[int | None], None]) -> None:
    """Serve until cancelled. `ready` is told the TCP port, or None where there is only the socket. Raises KhanError."""
    sockets = [_unix(path)]
    try:
        if port is not None:
            sockets.append(_loopback(port))
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            http="httptools",
            ws="none",
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=64 << 10,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets))
        try:
            while not server.started and not task.done():
                await asyncio.sleep(0.002)
            if not task.done():
                ready(sockets[1].getsockname()[1] if port is not None else None)
            await asyncio.shield(task)
        except asyncio.CancelledError:
            server.should_exit = True
            await task
            raise
    finally:
        for each in sockets:
            each.close()
        path.unlink(missing_ok=True)


def _unix(path: Path) -> socket.socket:
    """A listening socket that only its owner can open. One that is left over is taken away."""
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        short = _short(path)
        path.unlink(missing_ok=True)  # the data folder is locked: whoever made it is gone
        listener.bind(str(short))
    except OSError as error:
        listener.close()
        raise KhanError(f"cannot serve on {path}: {error.strerror}") from error
    finally:
        os.umask(mask)
    listener.listen(512)
    listener.setblocking(False)
    return listener


def _short(path: Path) -> Path:
    """The same path, short enough for a socket: through a link to its folder, if need be."""
    if len(os.fsencode(path)) <= LONGEST:
        return path
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    link = runtime / f"khantui-{os.getuid()}-{sha256(os.fsencode(path.parent)).hexdigest()[:12]}"
    if not link.is_symlink() or link.readlink() != path.parent:
        link.unlink(missing_ok=True)
        link.symlink_to(path.parent)
    return link / path.name


def _loopback(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise KhanError(f"cannot serve on port {port}: {error.strerror}", hint="--port 0 takes any free one") from error
    listener.listen(512)
    listener.setblocking(False)
    return listener
