"""A forward proxy for one stage: CONNECT, plain HTTP, and hosts that are reached directly. It opens what is declared.

Names are looked up here, never by the stage, and what they turn out to be is judged before it is connected to: there
is no second look-up that could say something else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from backend.accounts.destination import Destinations, plain
from backend.egress.parent import Parent
from backend.egress.places import Place, Plan

LARGEST_HEAD = 64 << 10  # bytes of a request's head
SLOW_HEAD = 30.0  # seconds for it to come
CONNECT = 20.0  # seconds until there is a connection
AT_ONCE = 512  # connections
MOST_SAID = 50  # different refusals that the log is told of
_HOP = (b"proxy-", b"connection:", b"keep-alive:", b"host:", b"te:", b"upgrade:")


class Refused(Exception):
    """A connection that is not made: an HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Proxy:
    """Serves the listening sockets of one stage."""

    def __init__(self, plan: Plan, parent: Parent | None = None) -> None:
        """`parent`: the proxy behind which this machine is."""
        self._parent = parent
        self._account = plan.account
        self._destinations = Destinations(plan.destinations)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._said: set[str] = set()

    async def serve(self, place: Place, listener: socket.socket) -> asyncio.Server:
        """Begin to accept at a place."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
                async with self._gate:
                    await (self._direct(place, reader, writer) if place.host else self._asked(reader, writer))
            writer.close()

        return await asyncio.start_server(connected, sock=listener, limit=LARGEST_HEAD)

    async def _direct(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await self._connect(place.host, place.port)
        except Refused as refused:
            self._say(refused.why)
            return
        await _relay((reader, writer), upstream)

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(SLOW_HEAD):
            head = await reader.readuntil(b"\r\n\r\n")
        try:
            host, port, forwarded = _read(head)
            upstream = await self._connect(host, port)
        except Refused as refused:
            self._say(refused.why)
            writer.write(_answer(refused))
            await writer.drain()
            return
        if forwarded:
            upstream[1].write(forwarded)
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _relay((reader, writer), upstream)

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises Refused."""
        where = f"{host}:{port}"
        if not self._destinations.names(host, port):
            raise Refused(403, f"{where} is refused: the service account {self._account} does not declare it")
        name = plain(host).strip("[]")
        good = await self._found(name, port, where)
        parent = self._parent
        if parent is not None and not parent.spares(name, port, [address for _, address in good]):
            return await _through(parent, name, port, where)
        failure: Exception | None = None
        for family, address in good:
            try:
                async with asyncio.timeout(CONNECT):
                    return await asyncio.open_connection(address, port, family=family, limit=LARGEST_HEAD)
            except (OSError, TimeoutError) as error:
                failure = error
        raise Refused(502, f"{where} cannot be reached: {getattr(failure, 'strerror', None) or 'it does not answer'}")

    async def _found(self, name: str, port: int, where: str) -> list[tuple[int, str]]:
        """Where a host is that may be connected to: families and addresses. Raises Refused.

        Behind a proxy names may be known to that alone: then none, and it is that which knows where they lead.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT):
                found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            if self._parent is not None and not self._parent.spares(name, port):
                return []
            raise Refused(502, f"{where} cannot be found: {getattr(error, 'strerror', None) or error}") from None
        good = [(int(entry[0]), str(entry[4][0])) for entry in found if self._reaches(entry, port)]
        if not good:
            address = str(found[0][4][0]) if found else "nothing"
            raise Refused(
                403,
                f"{where} is refused: it is {address}, which is no public address and not declared as one "
                f"by the service account {self._account}",
            )
        return good

    def _reaches(self, entry: Any, port: int) -> bool:
        return self._destinations.reaches(str(entry[4][0]), port)

    def _say(self, why: str) -> None:
        """Tell the attempt's log, once."""
        if why not in self._said and len(self._said) < MOST_SAID:
            self._said.add(why)
            print(f"[khantui] network: {why}", file=sys.stderr, flush=True)


def _read(head: bytes) -> tuple[str, int, bytes]:
    """Host, port, and what is to be sent there first (nothing for CONNECT). Raises Refused."""
    line, _, rest = head.partition(b"\r\n")
    try:
        method, target, version = line.decode("ascii").split(" ")
    except ValueError:
        raise Refused(400, "this is no request for a proxy") from None
    try:
        if method == "CONNECT":
            parts = urlsplit(f"//{target}")
            return _host(parts.hostname), parts.port or 443, b""
        parts = urlsplit(target)
        host, port = _host(parts.hostname), parts.port or 80
    except ValueError:
        raise Refused(400, f"{target[:100]!r} is no address") from None
    if parts.scheme != "http" or not version.startswith("HTTP/1."):
        raise Refused(400, f"a proxy is asked for http://…, or for CONNECT, not for {target[:100]!r}")
    path = target.partition("://")[2].partition("/")[2]
    fields = [field for field in rest.split(b"\r\n") if field and not field.lower().startswith(_HOP)]
    # one request for each connection: what comes after it reaches the same host, and nobody else
    named = parts.netloc.rpartition("@")[2].encode()
    lines = [f"{method} /{path} {version}".encode(), b"Host: " + named, b"Connection: close", *fields]
    return host, port, b"\r\n".join([*lines, b"", b""])


def _host(name: str | None) -> str:
    if not name or any(c.isspace() or not c.isprintable() for c in name):
        raise ValueError("no host")
    return name


def _answer(refused: Refused) -> bytes:
    body = f"khantui: {refused.why}\n".encode()
    reason = {400: "Bad Request", 403: "Forbidden", 502: "Bad Gateway"}[refused.status]
    head = (
        f"HTTP/1.1 {refused.status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def _relay(
    stage: tuple[asyncio.StreamReader, asyncio.StreamWriter], other: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Pass bytes on, both ways, until both have said all."""
    try:
        await asyncio.gather(_pass_on(stage[0], other[1]), _pass_on(other[0], stage[1]))
    finally:
        other[1].close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(256 << 10):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
    except OSError:
        target.close()


async def _through(
    parent: Parent, host: str, port: int, where: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that a proxy makes for us. Raises Refused."""
    by = f"by way of the proxy {parent.host}:{parent.port}"
    try:
        async with asyncio.timeout(CONNECT):
            reader, writer = await asyncio.open_connection(
                parent.host, parent.port, ssl=True if parent.tls else None, limit=LARGEST_HEAD
            )
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or "it does not answer"
        raise Refused(502, f"{where} cannot be reached {by}: {why}") from None
    try:
        async with asyncio.timeout(SLOW_HEAD):
            writer.write(parent.request(host, port))
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.close()
        raise Refused(502, f"{where} cannot be reached {by}: it does not answer") from None
    said = head.partition(b"\r\n")[0].split(b" ", 2)
    if len(said) < 2 or not said[0].startswith(b"HTTP/1.") or not said[1].startswith(b"2"):
        writer.close()
        answer = b" ".join(said[1:]).decode("ascii", "replace")[:100]
        raise Refused(502, f"{where} cannot be reached {by}: it says {answer!r}")
    return reader, writer


async def serve_all(
    plan: Plan, listeners: Sequence[socket.socket], ended: asyncio.Event, parent: Parent | None = None
) -> None:
    """Serve every place until `ended`."""
    proxy = Proxy(plan, parent)
    servers = [await proxy.serve(place, each) for place, each in zip(plan.places, listeners, strict=True)]
    await ended.wait()
    for server in servers:
        server.close()
