"""What a door is, once it is open."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from backend.api.doors import open_doors
from backend.listening import Listening


async def test_answers_over_tcp_are_sent_at_once(tmp_path: Path) -> None:
    """Else the second part of an answer waits until the first is acknowledged, which takes 40 ms."""
    doors = open_doors(tmp_path / "s", Listening(port=0, probes=("127.0.0.1", 0)))
    try:
        for door in doors[1:]:
            found = asyncio.get_running_loop().create_future()

            def accepted(
                _: asyncio.StreamReader, writer: asyncio.StreamWriter, found: asyncio.Future[int] = found
            ) -> None:
                connection = writer.get_extra_info("socket")
                found.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                writer.close()

            async with await asyncio.start_server(accepted, sock=door.socket):
                _, writer = await asyncio.open_connection(*door.socket.getsockname())
                assert await found
                writer.close()
    finally:
        for door in doors:
            door.close()
