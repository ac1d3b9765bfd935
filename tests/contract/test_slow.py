"""Clients that are slow, or send more than anybody needs to: each costs a connection, and not for long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backend.api import call, serve
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
