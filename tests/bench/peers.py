"""The same work by other programs, where they are installed, each stage in a bare sandbox too.

Dagu runs a graph inside of the command that starts it, which is its quickest way. `DAGU` names its program, if it is
not on the PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.bench.workloads import Graph

RUNS_AT_ONCE = 4  # of its commands; more take longer


class Dagu:
    """One Dagu, in a folder of its own."""

    def __init__(self, program: str, folder: Path, sandbox: str) -> None:
        self._program = program
        self._folder = folder
        self._sandbox = sandbox
        self._environment = os.environ | {"DAGU_HOME": str(folder), "DAGU_AUTH_MODE": "none"}

    def run(self, name: str, graph: Graph, runs: int = 1) -> float:
        """Seconds that so many runs of a graph take."""
        paths = [self._write(f"{name}-{number}", graph, "true") for number in range(runs)]
        began = time.perf_counter()
        with ThreadPoolExecutor(min(runs, RUNS_AT_ONCE)) as pool:
            list(pool.map(self._start, paths))
        return time.perf_counter() - began

    def trigger(self) -> float:
        """Seconds from the command to the moment that the stage's own process writes down."""
        mark = self._folder / "started"
        path = self._write("trigger", [("s", [])], f"sh -c 'date +%s.%N > {mark}'")
        began = time.time()
        self._start(path)
        return float(mark.read_text()) - began

    def _write(self, name: str, graph: Graph, command: str) -> Path:
        steps = [{"name": s, "command": f"{self._sandbox} {command}", "depends": needs} for s, needs in graph]
        path = self._folder / f"{name}.yaml"
        path.write_text(json.dumps({"steps": steps}))  # which is YAML
        return path

    def _start(self, path: Path) -> None:
        argv = [self._program, "start", "--quiet", str(path)]
        for _ in range(20):  # a stage fails where a mount of this machine goes while its sandbox looks
            done = subprocess.run(argv, env=self._environment, capture_output=True, text=True)
            if done.returncode == 0:
                return
        raise SystemExit(f"dagu: {done.stderr.strip()[-500:]}")


@contextmanager
def dagu(sandbox: str) -> Iterator[Dagu | None]:
    """Dagu, if it is here, whose stages run as `sandbox true`."""
    program = os.environ.get("DAGU") or shutil.which("dagu")
    if program is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="khan-dagu-"))
    try:
        yield Dagu(program, folder, f"{sandbox} --bind {folder} {folder}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
