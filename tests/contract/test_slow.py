"""Clients that are slow, or send more than anybody needs to: each costs a connection, and not for long."""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api import call, serve
from backend.api.doors import open_doors
from backend.listening import Listening
from tests.contract.service import Service

pytestmark = pytest.mark.attack
ASK = b"GET /api/v1/whoami HTTP/1.1\r\nhost: khantui\r\n"


async def send(sockets: Path, *pieces: bytes) -> bytes:
    """Send that, and wait until the other end closes: what it has said."""
    reader, writer = await asyncio.open_unix_connection(str(sockets / "api.sock"))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "begun", [b"", b"GET", ASK, ASK + b"x-slow: "], ids=["nothing", "a word", "a line", "a header"]
)
async def test_whoever_does_not_finish_their_headers_is_cut_off(
    api: Service, sockets: Path, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "SLOWEST_HEADERS", 0.05)
    assert (await send(sockets, begun)).startswith(b"HTTP/1.1 408 ")
    await api.ask("GET", "/whoami")


async def test_whoever_does_not_finish_their_body_is_cut_off(
    api: Service, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "SLOWEST_BODY", 0.05)
    head = b"POST /api/v1/lint HTTP/1.1\r\nhost: khantui\r\ncontent-length: 100\r\nconnection: close\r\n\r\n"
    assert (await send(sockets, head, b'{"do')).startswith(b"HTTP/1.1 408 ")
    await api.ask("GET", "/whoami")


async def test_a_body_has_an_end(api: Service) -> None:
    for path in ("/pipelines", "/lint"):
        response = await api.ask("POST", path, b" " * (call.LARGEST_BODY + 1), status=413)
        assert response.json()["code"] == "value-too-large"


@pytest.mark.parametrize(
    "request_",
    [
        ASK + b"x-large: " + b"x" * (65 << 10) + b"\r\n\r\n",
        ASK + b"".join(b"x-%d: %b\r\n" % (i, b"x" * 1000) for i in range(70)) + b"\r\n",
        b"GET /api/v1/runs?filter=" + b"x" * (65 << 10) + b" HTTP/1.1\r\nhost: khantui\r\n\r\n",
    ],
    ids=["a header", "many headers", "a URL"],
)
async def test_headers_have_an_end(api: Service, sockets: Path, request_: bytes) -> None:
    said = await send(sockets, request_)
    assert not said or said.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 414 "))
    await api.ask("GET", "/whoami")


async def test_a_connection_that_is_used_stays(api: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "SLOWEST_HEADERS", 0.05)
    async with api.http.stream("GET", "/api/v1/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ": hello"
        await asyncio.sleep(0.1)  # longer than headers may take: what is answered has no such end
        await api.put("p", stages={"a": {"script": "true"}})
        async with asyncio.timeout(30):
            async for line in lines:
                if "pipelines" in line or '"p"' in line:
                    break


@contextlib.asynccontextmanager
async def served(app: ASGIApp, sockets: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the server as the daemon has it, before an application that says more than the API would."""
    ready = asyncio.Event()
    serving = asyncio.create_task(serve.serve(app, app, open_doors(sockets / "one.sock", Listening()), ready.set))
    await ready.wait()
    reader, writer = await asyncio.open_unix_connection(str(sockets / "one.sock"), limit=1024)
    try:
        yield reader, writer
    finally:
        writer.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def lost(writer: asyncio.StreamWriter) -> None:
    """Wait until the other end has ended the connection, without reading what it says."""
    hung_up = select.poll()
    hung_up.register(writer.get_extra_info("socket").fileno(), 0)
    async with asyncio.timeout(30):
        while not any(event & select.POLLHUP for _, event in hung_up.poll(0)):
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("pieces", [1 << 20, 60], ids=["endless", "the rest of it does not fit"])
async def test_whoever_does_not_read_is_cut_off(sockets: Path, monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    monkeypatch.setattr(serve, "SLOWEST_READER", 0.05)
    sent, ended = [0], asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        try:
            for _ in range(pieces):
                sent[0] += 4096
                yield b"x" * 4096
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(parts(), headers={"connection": "close"})(scope, receive, send)

    async with served(app, sockets) as (_, writer):
        writer.write(ASK + b"\r\n")
        async with asyncio.timeout(30):
            await ended.wait()
        await lost(writer)
    assert sent[0] < 4 << 20  # what the kernel and the server keep


async def test_whoever_reads_slowly_gets_everything(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "SLOWEST_READER", 0.2)
    size = 2 << 20

    async def app(_: Scope, __: Receive, send: Send) -> None:
        head = [(b"content-length", b"%d" % size), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"x" * size})

    async with served(app, sockets) as (reader, writer):
        writer.write(ASK + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        found = 0
        while piece := await reader.read(64 << 10):
            found += len(piece)
            await asyncio.sleep(0.01)
    assert found == size


async def test_a_body_that_nobody_waits_for_keeps_no_connection(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "SLOWEST_REQUEST", 0.1)

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with served(app, sockets) as (_, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: khantui\r\ncontent-length: 1000000\r\n\r\n")
        await lost(writer)


async def test_nobody_has_all_connections(api: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = api.services.streams
    monkeypatch.setattr(streams, "MOST", 2)
    made = (await api.ask("POST", "/auth/tokens", {"name": "ci", "role": "viewer"})).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    async with contextlib.AsyncExitStack() as stack:
        for status in (200, 200, 429):
            stream = await stack.enter_async_context(api.http.stream("GET", "/api/v1/events", headers=headers))
            assert stream.status_code == status
            if status == 200:
                assert await anext(stream.aiter_lines()) == ": hello"
        assert (await api.http.get("/api/v1/whoami", headers=headers)).status_code == 200
    async with asyncio.timeout(30):
        while streams._open:
            await asyncio.sleep(0.01)
