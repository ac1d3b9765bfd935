"""The sockets that the API is served on, and which of them a request has come through."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.errors import KhanError
from backend.listening import Listening
from backend.short_path import within_reach

SCOPE = "khantui.way"  # where a request's scope says it
PEER = "khantui.peer"  # and there which user has connected to the unix socket: the uid


class Way(StrEnum):
    """How a request has come in."""

    UNIX = "unix"
    LOOPBACK = "loopback"
    REMOTE = "remote"
    PROBES = "probes"


class Door(Struct, frozen=True):
    """One listening socket."""

    way: Way
    socket: socket.socket
    url: str
    tls: ssl.SSLContext | None = None
    path: Path | None = None  # of a unix socket

    def close(self) -> None:
        """Close it; a unix socket is taken away."""
        self.socket.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class Marked:
    """An application that is told which door its requests have come through."""

    def __init__(self, app: ASGIApp, way: Way) -> None:
        self._app = app
        self._way = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        scope[SCOPE] = self._way
        await self._app(scope, receive, send)


def open_doors(path: Path, listening: Listening) -> Sequence[Door]:
    """Listen on the unix socket `path` and wherever else is asked for. Raises KhanError."""
    doors: list[Door] = []
    try:
        context = server_context(listening.cert, listening.key) if listening.cert and listening.key else None
        doors.append(Door(Way.UNIX, _unix(path, listening.socket_mode), f"unix://{path}", path=path))
        if listening.port is not None:
            doors.append(_tcp(Way.LOOPBACK, "127.0.0.1", listening.port))
        if listening.remote is not None:
            doors.append(_tcp(Way.REMOTE, *listening.remote, context))
        if listening.probes is not None:
            doors.append(_tcp(Way.PROBES, *listening.probes))
    except BaseException:
        for door in doors:
            door.close()
        raise
    return doors


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """TLS with a certificate that is read again once its file was replaced. Raises KhanError."""
    current = _context(cert, key)
    stamp = cert.stat().st_mtime_ns

    def renew(connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        nonlocal current, stamp
        try:
            now = cert.stat().st_mtime_ns
            if now != stamp:
                current, stamp = _context(cert, key), now
        except (KhanError, OSError):
            pass  # half renewed: the old one does for now
        connection.context = current

    first = _context(cert, key)
    first.sni_callback = renew  # asked at every handshake
    return first


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        said = error.strerror if isinstance(error, FileNotFoundError) else str(error)
        raise KhanError(
            f"{cert} and {key} are no certificate and its key: {said}", hint="both as PEM, without a passphrase"
        ) from error
    return context


def peer(connection: socket.socket) -> int | None:
    """Which user is at the other end of a unix socket, as the kernel has noted when it was connected: the uid."""
    try:
        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    return int(struct.unpack("3i", packed)[1])


def _unix(path: Path, mode: int) -> socket.socket:
    """A listening socket that those can open whom `mode` lets. One that is left over is taken away."""
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o777 & ~mode)
    try:
        short = within_reach(path.parent, path.name) / path.name
        if _answers(short):
            raise KhanError(f"another daemon serves on {path}", hint="give this one a socket of its own: --socket PATH")
        path.unlink(missing_ok=True)
        listener.bind(str(short))
    except OSError as error:
        listener.close()
        raise KhanError(f"cannot serve on {path}: {error.strerror}") from error
    except KhanError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.listen(512)
    listener.setblocking(False)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(1.0)
        try:
            knocking.connect(str(path))
        except OSError:
            return False
    return True


def _tcp(way: Way, host: str, port: int, context: ssl.SSLContext | None = None) -> Door:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named so that asyncio knows it, and has the kernel send at once (no Nagle: 40 ms of each answer)
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        hint = "--port 0 takes any free one" if way is Way.LOOPBACK else ""
        raise KhanError(f"cannot serve on port {port} of {host}: {error.strerror}", hint=hint) from error
    listener.listen(512)
    listener.setblocking(False)
    shown = f"[{host}]" if ":" in host else host
    return Door(way, listener, f"{'https' if context else 'http'}://{shown}:{listener.getsockname()[1]}", context)
