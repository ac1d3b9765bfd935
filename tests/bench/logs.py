"""Logs: one of a gigabyte opened at its end, jumped in and searched, beside less, lnav and toolong where they are
installed; and one that a real stage writes at 10,000 lines a second, followed through the API and on the screen.

All is measured as a user meets it: on a terminal, until the line that is wanted is painted. The other programs open a
file that they have for themselves; Khantui asks its daemon. `TOOLONG` names toolong's program, if it is not `tl`.
`BENCH_LOGS` is `follow` or `screen` for that part alone.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.bench.terminal import Terminal

MEGABYTES = int(os.environ.get("BENCH_LOG_MB", "1000"))
PART = os.environ.get("BENCH_LOGS", "")
SECONDS = int(os.environ.get("BENCH_FOLLOW_SECONDS", "20"))
RATE = 10_000  # lines a second
JUMPS = 50
OPEN = 0.2  # seconds: the aim for opening at the end
NEEDLE = "the needle at the end"
LAST = "last line of all"

_WRITE = f"""
import random, sys
random.seed(1)
words = "reading writing batch rows table region learners query cache hit miss flush commit offset partition".split()
lines = [f"2026-11-25 07:{{i//60000%60:02}}:{{i//1000%60:02}}.{{i%1000:03}} INFO  worker-{{i%16}} "
         f"{{' '.join(random.choice(words) for _ in range(8))}} id={{i}}\\n" for i in range(100000)]
block = "".join(lines).encode()
out = sys.stdout.buffer
for _ in range(max(1, {MEGABYTES} * 1000000 // len(block))):
    out.write(block)
out.write(b"ERROR {NEEDLE}\\n{LAST}\\n")
out.flush()
"""
_TICK = f"""
import sys, time
began, number = time.time(), 0
while number < {RATE * SECONDS}:
    due = int((time.time() - began) * {RATE})
    now = f"{{time.time():.4f}}"
    sys.stdout.write("".join(f"n={{n:08}} t={{now}}\\n" for n in range(number, min(due, {RATE * SECONDS}))))
    sys.stdout.flush()
    number = max(number, min(due, {RATE * SECONDS}))
    time.sleep(0.01)
print("{LAST}", flush=True)
"""


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Follow first, on a quiet daemon; then the large log."""
    folder = Path(tempfile.mkdtemp(prefix="kb"))
    try:
        with _daemon(folder) as (http, pid):
            if PART in ("", "follow"):
                yield from _follow(http, folder, pid)
            if PART in ("", "screen"):
                yield from _large(http, folder, pid, repeats)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _daemon:  # noqa: N801  a context manager
    """A daemon, a client of it, and its process id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> tuple[httpx.Client, int]:
        import subprocess

        from tests.e2e.program import environment, until_ready

        argv = [sys.executable, "-m", "khantui", "up", "--headless", "--data", str(self._folder)]
        argv += ["--limit", "file-size=8Gi"]
        self._process = subprocess.Popen(
            argv, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        until_ready(self._process)
        transport = httpx.HTTPTransport(uds=str(self._folder / "api.sock"))
        self._http = httpx.Client(transport=transport, base_url="http://khantui/api/v1", timeout=120)
        return self._http, int(self._http.get("http://khantui/api/v1").json()["pid"])

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._process.terminate()
        self._process.communicate(timeout=30)


def _row(workload: str, seconds: float, floor: float, resident: int, **more: Any) -> dict[str, Any]:
    return {
        "workload": workload,
        "wall_s": round(seconds, 4),
        "floor_s": round(floor, 4),
        "floor_ratio": round(seconds / floor, 2) if floor else 0.0,
        "resident_mib": round(resident / 2**20, 1),
        **more,
    }


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _start(http: httpx.Client, name: str, script: str) -> str:
    document = {"name": name, "stages": {"s": {"image": "python", "run": ["python3", "-c", script]}}}
    http.post("/pipelines", json={"document": json.dumps(document)}).raise_for_status()
    return str(http.post(f"/pipelines/{name}/runs", json={}).raise_for_status().json()["id"])


def _until(holds: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise SystemExit("it took too long")
        time.sleep(0.05)


# a log that grows


def _follow(http: httpx.Client, folder: Path, pid: int) -> Iterator[dict[str, Any]]:
    """Lag of each line through the API; of what is painted, on the screen; and lines that were lost."""
    terminal = Terminal([sys.executable, "-m", "khantui", "--data", str(folder)])
    try:
        terminal.until(b"nothing has run yet")
        run = _start(http, "ticks", _TICK)
        path = f"/runs/{run}/stages/s/log/follow"
        lags: dict[str, list[float]] = {"api": [], "merged": []}
        lost: dict[str, int] = {}
        threads = [
            threading.Thread(target=_listen, args=(folder, path, lags["api"], lost, "api")),
            threading.Thread(target=_listen, args=(folder, f"/runs/{run}/log/follow", lags["merged"], lost, "merged")),
        ]
        for thread in threads:
            thread.start()
        os.write(terminal.fd, f":log {run} s\r".encode())
        painted: list[float] = []
        seen = b""
        end = time.monotonic() + SECONDS + 30
        while time.monotonic() < end and LAST.encode() not in seen:
            seen = seen[-4000:] + terminal.read(0.2)
            if found := re.findall(rb"t=(\d+\.\d+)", seen):
                painted.append(time.time() - float(found[-1]))
                seen = seen[-200:] if LAST.encode() not in seen else seen
        resident = terminal.resident()
        for thread in threads:
            thread.join(60)
        total = http.get(f"/runs/{run}/stages/s/log", params={"limit": 0}).json()["total_lines"]
        missing = RATE * SECONDS + 1 - total
        for name, held in lags.items():
            yield _lag(f"follow, {name}", held, _resident(pid), lost.get(name, -1))
        yield _lag("follow, screen", painted[5:], resident, missing + (LAST.encode() not in seen))
    finally:
        terminal.close()


def _lag(workload: str, lags: list[float], resident: int, lost: int) -> dict[str, Any]:
    lags = sorted(lags) or [float("nan")]
    p95 = lags[int(len(lags) * 0.95)]
    more = {"median_s": round(statistics.median(lags), 4), "worst_s": round(lags[-1], 4), "lost": lost}
    return _row(workload, p95, 0.5, resident, **more)


def _listen(folder: Path, path: str, lags: list[float], lost: dict[str, int], name: str) -> None:
    transport = httpx.HTTPTransport(uds=str(folder / "api.sock"))
    following = 0
    gaps = 0
    with (
        httpx.Client(transport=transport, base_url="http://khantui/api/v1", timeout=120) as http,
        http.stream("GET", path) as response,
    ):
        for line in response.iter_lines():
            text = json.loads(line)["text"]
            if not text.startswith("n="):
                continue
            number = int(text[2:10])
            gaps += abs(number - following)
            following = number + 1
            lags.append(time.time() - float(text.rpartition("=")[2]))
    lost[name] = gaps + RATE * SECONDS - following


# a large one


def _large(http: httpx.Client, folder: Path, pid: int, repeats: int) -> Iterator[dict[str, Any]]:
    run = _start(http, "large", _WRITE)
    log = f"/runs/{run}/stages/s/log"
    state = lambda: http.get(f"/runs/{run}").json()["state"]  # noqa: E731
    _until(lambda: state() in ("succeeded", "failed"))
    _until(lambda: bool(http.get(log, params={"limit": 0}).json()["archived"]))
    total = int(http.get(log, params={"limit": 0}).json()["total_lines"])
    file = folder / "large.log"
    with file.open("wb") as out, http.stream("GET", f"{log}/raw") as response:
        for part in response.iter_raw():
            out.write(part)
    tail = [_timed(lambda: http.get(log, params={"tail": 500}).raise_for_status()) for _ in range(repeats + 2)]
    yield _row("1 GB, end, api", statistics.median(tail), OPEN, _resident(pid))
    jumps = sorted(
        _timed(lambda: http.get(log, params={"line": random.randint(1, total), "limit": 500}).raise_for_status())
        for _ in range(JUMPS)
    )
    yield _row("1 GB, jump, api", jumps[int(JUMPS * 0.95)], OPEN, _resident(pid))
    merged = [_timed(lambda: http.get(f"/runs/{run}/log", params={"tail": 500}).raise_for_status()) for _ in range(3)]
    yield _row("1 GB, end, merged", statistics.median(merged), OPEN, _resident(pid))
    yield from _screens(folder, file, run, total, repeats)
    if not PART:
        yield from _searches(http, file, log, pid)


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _screens(folder: Path, file: Path, run: str, total: int, repeats: int) -> Iterator[dict[str, Any]]:
    """From the key, or the start of the program, until the last line is painted."""
    ours, resident, jumps = [], 0, []
    for _ in range(repeats):
        terminal = Terminal([sys.executable, "-m", "khantui", "--data", str(folder)])
        try:
            terminal.until(b"large")
            _quiet(terminal)
            os.write(terminal.fd, f":log {run} s".encode())
            _quiet(terminal)
            begun = time.monotonic()
            os.write(terminal.fd, b"\r")
            terminal.until(LAST.encode())
            ours.append(time.monotonic() - begun)
            _quiet(terminal)
            begun = time.monotonic()
            os.write(terminal.fd, b"1")
            terminal.until(b"id=0")
            jumps.append(time.monotonic() - begun)
            resident = max(resident, terminal.resident())
        finally:
            terminal.close()
    yield _row("1 GB, end, screen", statistics.median(ours), OPEN, resident, lines=total)
    yield _row("1 GB, begin, screen", statistics.median(jumps), OPEN, resident)
    for name, argv, keys in _peers(file) if not PART else ():
        took, resident = [], 0
        for _ in range(repeats):
            begun = time.monotonic()
            terminal = Terminal(argv)
            try:
                if keys:
                    terminal.until(b"INFO", 60)
                    os.write(terminal.fd, keys)
                terminal.until(LAST.encode(), 120)
                took.append(time.monotonic() - begun)
                resident = max(resident, terminal.resident())
            finally:
                terminal.close()
        yield _row(f"1 GB, end, {name}", statistics.median(took), OPEN, resident)


def _quiet(terminal: Terminal) -> None:
    while terminal.read(0.5):
        pass


def _peers(file: Path) -> Iterator[tuple[str, list[str], bytes]]:
    if less := shutil.which("less"):
        yield "less", [less, "+G", str(file)], b""
    if lnav := shutil.which("lnav"):
        yield "lnav", [lnav, str(file)], b""
    if toolong := shutil.which(os.environ.get("TOOLONG", "tl")):
        yield "toolong", [toolong, str(file)], b"\x1b[F"  # the key End


def _searches(http: httpx.Client, file: Path, log: str, pid: int) -> Iterator[dict[str, Any]]:
    """For what stands in the last line but one, from the first line on."""
    import subprocess

    size = file.stat().st_size
    grep = _timed(lambda: subprocess.run(["grep", "-c", NEEDLE, str(file)], check=True, stdout=subprocess.DEVNULL))
    for name, query in (
        ("words", {"text": NEEDLE}),
        ("no case", {"text": NEEDLE.upper(), "ignore_case": "1"}),
        ("RE", {"regex": r"worker-\d+ needle|ERROR the n.+dle"}),
        ("errors", {"errors": "1"}),
    ):
        begun = time.perf_counter()
        line: int | None = 1
        found = []
        while line is not None and not found:
            answer = http.get(f"{log}/search", params={**query, "line": line, "limit": 1}).raise_for_status().json()
            found, line = answer["matches"], answer["next_line"]
        if NEEDLE not in found[0]["line"]["text"]:
            raise SystemExit(f"the search for {name} found {found}")
        took = time.perf_counter() - begun
        yield _row(f"1 GB, {name}, api", took, grep, _resident(pid), mib_per_s=round(size / 2**20 / took))
    yield _row("1 GB, grep", grep, grep, 0)
    if less := shutil.which("less"):
        terminal = Terminal([less, f"+/{NEEDLE}", str(file)])
        try:
            begun = time.monotonic()
            terminal.until(LAST.encode(), 300)
            yield _row("1 GB, words, less", time.monotonic() - begun, grep, terminal.resident())
        finally:
            terminal.close()
    if lnav := shutil.which("lnav"):
        argv = [lnav, "-n", "-q", "-c", f":filter-in {NEEDLE}", str(file)]
        begun = time.perf_counter()
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        yield _row("1 GB, words, lnav", time.perf_counter() - begun, grep, usage.ru_maxrss * 1024)
