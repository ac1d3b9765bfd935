"""The grid of a pipeline of 900 stages and 100 runs: how soon it is there, and how soon a key shows.

A key is set against a frame of a screen that shows 60 a second; the CPU time of the program for it is told as well.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from backend.api.wire import ApplyPipeline
from backend.run.ids import new_id
from backend.run.state import Attempt, AttemptState, Run, RunState, StageRecord, StageState, Trigger
from backend.store import keys
from backend.store.base import Put
from backend.store.codec import encode
from backend.store.etcd import EtcdStore
from backend.store.records import create_run
from khantui.api.address import of_socket
from khantui.api.client import Client
from tests.bench.terminal import FRAME, Terminal, daemon

STAGES = int(os.environ.get("BENCH_STAGES", "900"))
RUNS = int(os.environ.get("BENCH_GRID_RUNS", "100"))
KEYS = 100
TOGETHER = 100  # records in one transaction


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """First cells, all runs, a line down, a screenful down, a run to the left."""
    folder = Path(tempfile.mkdtemp(prefix="kb"))
    with daemon(folder):
        asyncio.run(_fill(folder))
        terminal = Terminal([sys.executable, "-m", "khantui", "--data", str(folder)])
        try:
            terminal.until(b"wide")
            firsts = []
            for number in range(repeats):
                _quiet(terminal)
                os.write(terminal.fd, b":grid wide")
                _quiet(terminal)
                begun = time.monotonic()
                os.write(terminal.fd, b"\r")
                terminal.until(_cell(0), 60)  # the cell at the cursor, in words
                firsts.append(time.monotonic() - begun)
                if number < repeats - 1:
                    os.write(terminal.fd, b"\x1b")
            yield _told("grid, first cells", statistics.median(firsts), terminal)
            yield _told("grid, all runs", _all_runs(terminal), terminal)
            for name, there, back, step in (("line", b"j", b"k", 1), ("screenful", b"\x06", b"\x02", 0)):
                yield _keys(terminal, name, there, back, step)
        finally:
            terminal.close()
    shutil.rmtree(folder, ignore_errors=True)


def _all_runs(terminal: Terminal) -> float:
    """Seconds until the oldest run is there, while somebody goes to the left."""
    begun, seen = time.monotonic(), b""
    while f"{STAGES} stages \N{MULTIPLICATION SIGN} {RUNS} runs".encode() not in seen:
        assert time.monotonic() < begun + 120, seen[-500:]
        os.write(terminal.fd, b"0")
        seen = seen[-200:] + terminal.read(0.1)
    took = time.monotonic() - begun
    _quiet(terminal)
    return took


def _keys(terminal: Terminal, name: str, there: bytes, back: bytes, step: int) -> dict[str, Any]:
    found, before = [], _computed(terminal.pid)
    line, last = 0, STAGES - 1
    page = step or _page(terminal)
    for number in range(KEYS):
        forth = number % 10 < 5
        line = max(0, min(last, line + (page if forth else -page)))
        _quiet(terminal, 0.0)
        begun = time.monotonic()
        os.write(terminal.fd, there if forth else back)
        terminal.until(_cell(line), 10)
        found.append(time.monotonic() - begun)
    found.sort()
    computed = (_computed(terminal.pid) - before) / KEYS
    return _told(f"grid, key: a {name}", found[int(KEYS * 0.95)], terminal) | {"cpu_ms_each": round(computed * 1000, 1)}


def _page(terminal: Terminal) -> int:
    """How far a screenful goes: seen by trying it once."""
    os.write(terminal.fd, b"\x06")
    time.sleep(1.0)
    seen = b""
    while part := terminal.read(0.2):
        seen += part
    os.write(terminal.fd, b"\x02")
    time.sleep(1.0)
    _quiet(terminal)
    return int(re.findall(rb"stage-(\d+)\x1b\[0m", seen)[-1])


def _cell(line: int) -> bytes:
    """The name of a stage as the last line shows it, which tells of the cell at the cursor."""
    return f"stage-{line:03}\x1b[0m".encode()


def _quiet(terminal: Terminal, seconds: float = 0.3) -> None:
    while terminal.read(seconds):
        pass


def _computed(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _told(name: str, seconds: float, terminal: Terminal) -> dict[str, Any]:
    return {
        "workload": name,
        "wall_s": round(seconds, 4),
        "floor_s": round(FRAME, 4),
        "floor_ratio": round(seconds / FRAME, 2),
        "resident_mib": round(terminal.resident() / 2**20, 1),
        "stages": STAGES,
        "runs": RUNS,
    }


async def _fill(folder: Path) -> None:
    """A pipeline thirty stages wide, and runs of it that have succeeded."""
    names = [f"stage-{n:03}" for n in range(STAGES)]
    stages: dict[str, Any] = {name: {"image": "shell", "script": "true"} for name in names}
    for before, name in zip(names, names[30:], strict=False):
        stages[name]["after"] = [before]
    document = msgspec.json.encode({"name": "wide", "stages": stages}).decode()
    client = Client(of_socket(folder / "api.sock"))
    client.apply(ApplyPipeline(document))
    client.close()
    store = EtcdStore([f"unix:{folder}/etcd/c.sock:0"])
    now = datetime.now(UTC)
    for number in range(RUNS):
        began = now - timedelta(hours=number + 1)
        new = Run(new_id(began), "wide", 1, began, created=began, trigger=Trigger("manual", by="bench"), stages=STAGES)
        _, changes = create_run(new)
        ended = began + timedelta(minutes=9)
        done = replace(new, state=RunState.SUCCEEDED, started=began, ended=ended, counts={"succeeded": STAGES})
        passing = (keys.run(new.id), keys.active(new.id), keys.by_state(new.state, new.id))
        attempt = (Attempt(1, AttemptState.SUCCEEDED, began, ended, 0),)
        records: list[Any] = [
            Put(keys.stage(new.id, n), encode(StageRecord(n, StageState.SUCCEEDED, began, began, ended, attempt)))
            for n in names
        ]
        batches = [records[at : at + TOGETHER] for at in range(0, STAGES, TOGETHER)]
        await asyncio.gather(*(store.commit([], batch) for batch in batches))
        lasting = [c for c in changes if isinstance(c, Put) and c.key not in passing]
        ends = [Put(keys.run(done.id), encode(done)), Put(keys.by_state(done.state, done.id), b"")]
        await store.commit([], [*lasting, *ends])
    await store.close()
