"""A large state: 1,000 pipelines, 100,000 runs that have ended, a run of 1,000 stages; what lists and events take.

The state is written as the engine would have written it, beforehand and straight into the etcd of the daemon's folder,
since to run 100,000 runs takes half an hour. `BENCH_RUNS` is another number of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from backend.clock import SystemClock
from backend.layout import Layout
from backend.logs import LogStore
from backend.run.ids import new_id
from backend.run.state import Attempt, AttemptState, Run, RunState, StageRecord, StageState, Trigger
from backend.store import keys
from backend.store.base import MOST_CHANGES, Delete, Put
from backend.store.codec import encode
from backend.store.embedded import EmbeddedEtcd
from backend.store.etcd import EtcdStore
from backend.store.records import PipelineHead, Version, change_run, create_run
from backend.store.server_binary import provide
from tests.bench.engine import Daemon, daemon
from tests.bench.gauges import etcd_of, resident, spent
from tests.bench.workloads import document

PIPELINES = 1000
RUNS = int(os.environ.get("BENCH_RUNS", "100000"))
STAGES = 1000
QUIET = 30.0  # seconds over which the idle daemon is watched
LISTS = {
    "runs": "/runs",
    "runs-two-states": "/runs?state=failed&state=cancelled",
    "runs-of-pipeline": "/runs?pipeline=p7",
    "runs-of-pipeline-failed": "/runs?pipeline=p7&state=failed",
    "runs-two-states-of-pipeline": "/runs?pipeline=p7&state=failed&state=cancelled",
    "runs-young": "/runs?filter=age<2h",
    "runs-old": "/runs?filter=age>40d",
    "runs-word": "/runs?filter=message~exit",
    "runs-none": "/runs?state=running",
    "runs-skipped": f"/runs?skip={RUNS // 2}",
    "pipelines": "/pipelines",
    "run-of-1000-stages": "",
    "log-of-1000-stages": "",
}


def measure(repeats: int = 3) -> Iterator[dict[str, Any]]:
    """One result a list, then how long an event takes, and what the idle daemon does."""
    folder = Path(tempfile.mkdtemp(prefix="khan-large-"))
    try:
        large = asyncio.run(seed(folder))
        with daemon(slots=2 * (os.cpu_count() or 2), folder=folder) as engine:
            yield _idle(engine, f"idle-{RUNS}-runs")
            paths = LISTS | {
                "run-of-1000-stages": f"/runs/{large}",
                "log-of-1000-stages": f"/runs/{large}/log",
            }
            for name, path in paths.items():
                yield _listed(engine, name, path, max(5, 5 * repeats))
            yield _event(engine, 20)
            yield _idle(engine, f"idle-{RUNS}-runs-after")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def seed(folder: Path) -> str:
    """Write the state: the id of the run of many stages."""
    layout = Layout(folder)
    binary = await asyncio.to_thread(provide, lambda _: None, None)
    etcd = EmbeddedEtcd(layout.etcd, binary)
    await etcd.start()
    store = EtcdStore([etcd.target])
    try:
        await etcd.ready()
        return await _write(store, layout)
    finally:
        await store.close()
        await etcd.stop()


async def _write(store: EtcdStore, layout: Layout) -> str:
    now = datetime.now(UTC)
    wide = json.dumps(document("wide", [(f"s{n}", [f"s{n - 10}"] if n >= 10 else []) for n in range(STAGES)]))
    moment = now - timedelta(minutes=5)
    run = Run(new_id(moment), "wide", 1, moment, created=moment, stages=STAGES, trigger=Trigger("manual", by="bench"))

    def changes() -> Iterator[Put | Delete]:
        for number in range(PIPELINES):
            yield from _pipeline(f"p{number}", json.dumps(document(f"p{number}", [("s", [])])), 1, now)
        for number in range(RUNS):
            yield from _ended(number, now - timedelta(seconds=40 * (RUNS - number)))
        yield from _pipeline("wide", wide, STAGES, now)
        yield from _changes(run, _as(run, RunState.SUCCEEDED, {"succeeded": STAGES}))
        for number in range(STAGES):
            yield Put(keys.stage(run.id, f"s{number}"), encode(_succeeded(f"s{number}", moment)))

    for batch in batched(changes(), MOST_CHANGES):
        await store.commit([], list(batch))
    logs = LogStore(layout, SystemClock())
    for number in range(STAGES):
        log = layout.live_log(run.id, f"s{number}", 1)
        log.parent.mkdir(parents=True)
        log.write_text("".join(f"line {n} of s{number}\n" for n in range(20)))
        await logs.finish(run.id, f"s{number}", 1)
    return run.id


def batched(changes: Iterator[Put | Delete], size: int) -> Iterator[list[Put | Delete]]:
    """So many at a time."""
    while batch := list(islice(changes, size)):
        yield batch


def _pipeline(name: str, text: str, stages: int, now: datetime) -> Iterator[Put | Delete]:
    head = PipelineHead(name, 1, stages=stages, width=min(stages, 10), created=now, updated=now)
    yield Put(keys.pipeline(name), encode(head))
    yield Put(keys.version(name, 1), encode(Version(name, 1, text, created=now)))


def _ended(number: int, moment: datetime) -> list[Put | Delete]:
    """One run of one stage, ended."""
    run_id, name = new_id(moment), f"p{number % PIPELINES}"
    state = RunState.FAILED if number % 50 == 7 else RunState.CANCELLED if number % 100 == 9 else RunState.SUCCEEDED
    run = Run(run_id, name, 1, moment, created=moment, stages=1, trigger=Trigger("schedule", schedule=f"s{name}"))
    ended = _as(run, state, {state.value: 1})
    written = _changes(run, ended)
    return [*written, Put(keys.stage(run_id, "s"), encode(_succeeded("s", moment)))]


def _as(run: Run, state: RunState, counts: dict[str, int]) -> Run:
    assert run.created is not None
    started = run.created + timedelta(milliseconds=5)
    message = "s: exit 1" if state is RunState.FAILED else ""
    return replace(
        run, state=state, started=started, ended=started + timedelta(seconds=3), counts=counts, message=message
    )


def _changes(run: Run, ended: Run) -> list[Put | Delete]:
    """What there is in the store of a run that has ended, given how it began."""
    gone = {keys.active(run.id), keys.by_state(run.state, run.id), keys.ended(run.id)}
    changes = {change.key: change for change in (*create_run(run)[1], *change_run(run, ended))}
    return [change for key, change in changes.items() if key not in gone]


def _succeeded(name: str, moment: datetime) -> StageRecord:
    end = moment + timedelta(seconds=3)
    attempt = Attempt(1, AttemptState.SUCCEEDED, started=moment, ended=end, exit_code=0)
    return StageRecord(name, StageState.SUCCEEDED, ready=moment, started=moment, ended=end, attempts=(attempt,))


def _listed(engine: Daemon, name: str, path: str, times: int) -> dict[str, Any]:
    took, size = [], 0
    for _ in range(times):
        began = time.perf_counter()
        answer = engine.http.get(path).raise_for_status()
        took.append(time.perf_counter() - began)
        size = len(answer.content)
    floor = _timed(lambda: engine.http.get("http://khantui/healthz"), times)
    return _result(name, took, floor) | {"bytes": size}


def _timed(act: Callable[[], Any], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _event(engine: Daemon, times: int) -> dict[str, Any]:
    """From the request that starts a run to the event that tells another client of it."""
    heard: dict[str, float] = {}
    ready, news = threading.Event(), threading.Condition()

    def listen() -> None:
        with engine.client() as http, http.stream("GET", "/events", params={"kind": "run"}, timeout=120) as events:
            for line in events.iter_lines():
                ready.set()
                if line.startswith("data:"):
                    now, event = time.perf_counter(), json.loads(line[5:])
                    with news:
                        heard.setdefault(event["id"], now)
                        news.notify()
                    if event["id"] and len(heard) >= times:
                        return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    ready.wait(20)
    took = []
    for number in range(times):
        began = time.perf_counter()
        run = engine.start(f"p{number}")
        with news:
            while run["id"] not in heard:
                news.wait(10)
        took.append(heard[run["id"]] - began)
    return _result("event", took, _timed(lambda: engine.http.get("http://khantui/healthz"), times))


def _idle(engine: Daemon, name: str) -> dict[str, Any]:
    """What the daemon holds and does while nothing happens."""
    pid, etcd = engine.process.pid, etcd_of(engine.process.pid)
    time.sleep(5)
    _settled(pid)
    before, others, began = spent(pid), spent(etcd), time.perf_counter()
    time.sleep(QUIET)
    wall = time.perf_counter() - began
    return {
        "workload": name,
        "wall_s": round(wall, 1),
        "core_percent": round(100 * (spent(pid) - before) / wall, 2),
        "etcd_percent": round(100 * (spent(etcd) - others) / wall, 2),
        "resident_mib": resident(pid),
        "etcd_resident_mib": resident(etcd),
    }


def _settled(pid: int) -> None:
    """Wait until what a daemon does once after its start is done, a minute at most."""
    for _ in range(20):
        before = spent(pid)
        time.sleep(3)
        if spent(pid) - before < 0.1:
            return


def _result(name: str, took: list[float], floor: float) -> dict[str, Any]:
    wall = statistics.median(took)
    return {
        "workload": name,
        "wall_s": round(wall, 5),
        "worst_s": round(max(took), 5),
        "floor_s": round(floor, 5),
        "floor_ratio": round(wall / floor, 2),
    }
