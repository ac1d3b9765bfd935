"""What lies between a client and etcd: it can lose what is asked or what is answered, and cut the line."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path


class Relay:
    """Passes on bytes between its own socket and etcd's."""

    def __init__(self, folder: Path, target: str) -> None:
        self._path = folder / "relay.sock"
        self._behind = target.removeprefix("unix:")
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.loses_requests = False
        self.loses_answers = False
        self.lost = asyncio.Event()  # something was swallowed

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"unix:{self._path}"

    async def open(self) -> None:
        """Take connections."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._connected, self._path)

    async def close(self) -> None:
        """Take no more connections, and end those that there are."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End all connections, abruptly."""
        for line in self._lines:
            line.transport.abort()
        self._lines.clear()

    def heal(self) -> None:
        """From now on nothing is lost; what came before is not made good."""
        self.loses_requests = self.loses_answers = False
        self.lost.clear()
        self.cut()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._behind)
        self._lines |= {writer, back}
        for work in (self._pass(reader, back, "loses_requests"), self._pass(there, writer, "loses_answers")):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, loses: str) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                if getattr(self, loses):
                    self.lost.set()
                else:
                    sink.write(data)
                    await sink.drain()
        sink.transport.abort()
