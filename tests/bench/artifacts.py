"""Artifacts to and from an S3 server on this machine, by the stager; the floor is the bare library in one process.

The floor neither hashes nor lists nor checks anything, and is told the objects' names.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.objects.plan import VARIABLE, Fetched, Plan
from tests.s3_fixture import S3Server, provided

LARGE = 512  # MiB of the one file
FILES = 2000  # of the folder, each of 20 KiB

_FLOOR = """
import asyncio, os, sys
from pathlib import Path
import obstore
from obstore.store import from_url
what, url, folder = sys.argv[1:]
store = from_url(url, client_options={"allow_http": True, "timeout": "1h"})
names = [p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()]
async def put(name):
    await obstore.put_async(store, name, Path(folder, name), chunk_size=8 << 20, max_concurrency=4)
async def get(name):
    target = Path(folder).parent / "floor" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as sink:
        async for block in (await obstore.get_async(store, name)).stream(8 << 20):
            sink.write(block)
async def main():
    pending = iter(names)
    async def worker():
        for name in pending:
            await (put if what == "put" else get)(name)
    await asyncio.gather(*(worker() for _ in range(12)))
asyncio.run(main())
os._exit(0)
"""


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """One result for each way and kind; nothing where there is no S3 server to be had."""
    binary = provided()
    if isinstance(binary, str):
        print(f"artifacts: {binary}", file=sys.stderr)
        return
    folder = Path(tempfile.mkdtemp(prefix="kh-bench-s3-"))
    server = S3Server(binary, folder / "server")
    try:
        yield from _measure(server, folder, repeats)
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _measure(server: S3Server, folder: Path, repeats: int) -> Iterator[dict[str, Any]]:
    for kind, size in (("file", LARGE << 20), ("folder", FILES * (20 << 10))):
        root = folder / kind
        _write(root / "out" / "it", kind)
        took: dict[str, list[float]] = {"publish": [], "fetch": [], "put": [], "get": []}
        for number in range(repeats):
            url = server.bucket(f"{kind}-{number}")
            attempt = "attempts/run/stage/1"
            plan = Plan(url, attempt, (Fetched("it", f"{attempt}/out/it", kind),), outputs=("it",))  # type: ignore[arg-type]
            environment = {**os.environ, **server.environment, VARIABLE: plan.pack(), "KHAN_ROOT": str(root)}
            for what in ("publish", "fetch"):
                argv = [sys.executable, "-m", "backend.stager", what]
                took[what].append(_timed(argv, environment))
            for what in ("put", "get"):
                argv = [sys.executable, "-c", _FLOOR, what, f"{url}/floor", str(root / "out")]
                took[what].append(_timed(argv, environment))
        for what, floor in (("publish", "put"), ("fetch", "get")):
            wall, least = statistics.median(took[what]), statistics.median(took[floor])
            yield {
                "workload": f"{what}-{kind}",
                "wall_s": wall,
                "mib_per_s": size / wall / (1 << 20),
                "floor_s": least,
                "floor_ratio": wall / least,
            }


def _write(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True)
    if kind == "file":
        with path.open("wb") as file:
            for _ in range(LARGE):
                file.write(os.urandom(1 << 20))
        return
    for i in range(FILES):
        inner = path / str(i % 20) / str(i)
        inner.parent.mkdir(parents=True, exist_ok=True)
        inner.write_bytes(os.urandom(20 << 10))


def _timed(argv: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, env=environment, check=True)
    return time.perf_counter() - began
