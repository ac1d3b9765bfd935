"""The interface on a terminal, before a daemon with many runs: how soon it is there, and how soon a key shows.

The first is set against the start of Python with Textual imported, in the same run; a key against a frame of a screen
that shows 60 a second, below which nobody sees a difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from backend.run.ids import new_id
from backend.run.state import Run, RunState, Trigger
from backend.store import keys
from backend.store.base import Put
from backend.store.codec import encode
from backend.store.etcd import EtcdStore
from backend.store.records import create_run
from khantui.api.address import of_socket
from khantui.api.client import Client
from tests.e2e.program import environment, until_ready

RUNS = int(os.environ.get("BENCH_RUNS", "100000"))
PIPELINES = 200
KEYS = 200
FRAME = 1 / 60  # seconds
EVENTS = 1000  # a second, in the second round


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """First paint, keys with and without events, memory."""
    folder = Path(tempfile.mkdtemp(prefix="kb"))
    with daemon(folder):
        asyncio.run(_fill(folder))
    with daemon(folder):  # another, which does not have to hear of all these runs as if they came to be just now
        _settle(folder)
        floor = min(_import_time() for _ in range(repeats))
        paints = [_first_paint(folder) for _ in range(repeats)]
        yield row("first paint", statistics.median(p for p, _ in paints), floor, max(r for _, r in paints))
        for name, events in (("key, quiet", 0), (f"key, {EVENTS} ev/s", EVENTS)):
            latencies, resident = _keys(folder, events)
            latencies.sort()
            yield row(name, latencies[int(len(latencies) * 0.95)], FRAME, resident)
    shutil.rmtree(folder, ignore_errors=True)


def row(name: str, seconds: float, floor: float, resident: int) -> dict[str, Any]:
    return {
        "workload": name,
        "wall_s": round(seconds, 4),
        "floor_s": round(floor, 4),
        "floor_ratio": round(seconds / floor, 2),
        "resident_mib": round(resident / 2**20, 1),
        "runs": RUNS,
    }


@contextlib.contextmanager
def daemon(folder: Path) -> Iterator[None]:
    argv = [sys.executable, "-m", "khantui", "up", "--headless", "--data", str(folder)]
    process = subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        until_ready(process)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _some(number: int, now: datetime) -> list[Any]:
    began = now - timedelta(seconds=30 * (number + 1))
    name = f"pipeline-{number % PIPELINES:03}"
    new = Run(new_id(began), name, 1, began, created=began, trigger=Trigger("manual", by="bench"), stages=3)
    _, changes = create_run(new)
    from msgspec.structs import replace

    state = RunState.FAILED if number % 17 == 0 else RunState.SUCCEEDED
    done = replace(new, state=state, started=began, ended=began + timedelta(seconds=20), counts={str(state): 3})
    passing = (keys.run(new.id), keys.active(new.id), keys.by_state(new.state, new.id))
    lasting = [c for c in changes if isinstance(c, Put) and c.key not in passing]
    return [*lasting, Put(keys.run(done.id), encode(done)), Put(keys.by_state(state, done.id), b"")]


async def _fill(folder: Path) -> None:
    store = EtcdStore([f"unix:{folder}/etcd/c.sock:0"])
    now = datetime.now(UTC)
    for start in range(0, RUNS, 20 * 16):
        batches = [
            [change for number in range(at, min(at + 20, RUNS)) for change in _some(number, now)]
            for at in range(start, min(start + 20 * 16, RUNS), 20)
        ]
        await asyncio.gather(*(store.commit([], batch) for batch in batches))
    await store.close()


async def shake(folder: Path, seconds: float, rate: int) -> None:
    """Change runs all the time."""
    store = EtcdStore([f"unix:{folder}/etcd/c.sock:0"])
    page = await store.page(keys.RUNS, keys.after(keys.RUNS), limit=200)
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        begun = time.monotonic()
        changes = [Put(kv.key, kv.value) for kv in page.items[number % 4 * 50 : number % 4 * 50 + 50]]
        await store.commit([], [*changes])
        number += 1
        await asyncio.sleep(max(0.0, 50 / rate - (time.monotonic() - begun)))
    await store.close()


def _settle(folder: Path) -> None:
    """Wait until the daemon answers as it does at rest."""
    client = Client(of_socket(folder / "api.sock"))
    took = 1.0
    while took > 0.1:
        begun = time.monotonic()
        client.runs_page(limit=200)
        took = time.monotonic() - begun
    client.close()


def _import_time() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import textual.app, httpx"], check=True, env=environment())
    return time.monotonic() - begun


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv: list[str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(environment() | {"TERM": "xterm-256color"})
            os.execv(argv[0], argv)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))

    def read(self, seconds: float) -> bytes:
        """What comes within some time, as soon as anything does."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        try:
            return os.read(self.fd, 1 << 16) if ready else b""
        except OSError:
            return b""

    def until(self, wanted: bytes, seconds: float = 30) -> None:
        """Read until that was shown."""
        seen, end = b"", time.monotonic() + seconds
        while wanted not in seen:
            assert time.monotonic() < end, seen[-2000:]
            seen += self.read(0.2)

    def resident(self) -> int:
        """Bytes of memory."""
        text = Path(f"/proc/{self.pid}/statm").read_text()
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def _first_paint(folder: Path) -> tuple[float, int]:
    begun = time.monotonic()
    terminal = Terminal([sys.executable, "-m", "khantui", "--data", str(folder)])
    try:
        terminal.until(b"pipeline-0")  # a row of the list
        took = time.monotonic() - begun
        time.sleep(1.0)
        return took, terminal.resident()
    finally:
        terminal.close()


def _keys(folder: Path, events: int) -> tuple[list[float], int]:
    terminal = Terminal([sys.executable, "-m", "khantui", "--data", str(folder)])
    shaker = None
    if events:
        code = "import asyncio, pathlib, sys; from tests.bench.terminal import shake; "
        code += "asyncio.run(shake(pathlib.Path(sys.argv[1]), 60, int(sys.argv[2])))"
        shaker = subprocess.Popen([sys.executable, "-c", code, str(folder), str(events)], env=environment())
    try:
        terminal.until(b"pipeline-0")
        while terminal.read(0.5 if not events else 0.01):  # until it is quiet
            if events:
                time.sleep(2)
                break
        found = []
        for number in range(KEYS):
            while terminal.read(0.0):
                pass
            begun = time.monotonic()
            os.write(terminal.fd, b"j" if number % 40 < 20 else b"k")
            terminal.until(f"{_at(number):,} of".encode(), 10)
            found.append(time.monotonic() - begun)
        return found, terminal.resident()
    finally:
        if shaker is not None:
            shaker.kill()
            shaker.wait()
        terminal.close()


def _at(number: int) -> int:
    """Which row the heading names after so many keys."""
    turn = number % 40
    return turn + 2 if turn < 20 else 40 - turn
