"""Pipelines that keep a daemon busy, and what must be true of their runs whatever happened meanwhile.

Every stage appends a line to its output, which tells how often its command ran, and writes numbered lines to its log.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.daemon import Daemon

LINES = 10  # that a stage writes at once, as often as it is told to
SCRIPT = """
echo ran >> "$KHAN_OUTPUT_{output}"
n=0
for round in {rounds}; do
  for each in 0 1 2 3 4 5 6 7 8 9; do n=$((n + 1)); echo "line $n"; done
  sleep 0.2
done
"""
SHAPES = ("diamond", "fails", "retries")


class Load:
    """So many pipelines on one daemon. `mark` is in the environment of every process of theirs."""

    def __init__(self, daemon: Daemon, pipelines: int, *, rounds: int) -> None:
        """`rounds`: how often each stage writes its ten lines; a round takes 0.2 s."""
        self._daemon = daemon
        self._rounds = rounds
        self.names = [f"{SHAPES[n % len(SHAPES)]}-{n:02}" for n in range(pipelines)]
        self.mark = f"khan-load-{os.getpid()}-{time.time_ns()}"
        self.runs: dict[str, str] = {}  # id -> pipeline
        self._asked: Counter[str] = Counter()
        self._owed: set[str] = set()  # pipelines whose run was asked for without an answer

    def apply(self) -> None:
        """Store the pipelines."""
        for name in self.names:
            self._daemon.apply(name, **self._document(name))

    def _document(self, name: str) -> dict[str, Any]:
        def stage(output: str, before: str = "", after: str = "", **more: Any) -> dict[str, Any]:
            rounds = " ".join(map(str, range(self._rounds)))
            return {"script": before + SCRIPT.format(output=output, rounds=rounds) + after, "outputs": [output], **more}

        if name.startswith("diamond"):
            wide = stage("b", inputs=["a"], each={"N": ["1", "2", "3"]})
            stages = {"a": stage("a"), "b": wide, "c": stage("c", inputs=["b"])}
        elif name.startswith("fails"):
            stages = {"a": stage("a"), "b": stage("b", after="exit 3\n", inputs=["a"]), "c": stage("c", inputs=["b"])}
        else:  # its first attempt fails
            again = {"TRY": "${run.attempt}"}
            stages = {"a": stage("a", after='[ "$TRY" -gt 1 ]\n', retries={"limit": 1, "delay": "1s"})}
            stages |= {"b": stage("b", inputs=["a"])}
            return {"environment": {"MARK": self.mark} | again, "intermediates": _none("a", "b"), "stages": stages}
        return {"environment": {"MARK": self.mark}, "intermediates": _none("a", "b", "c"), "stages": stages}

    def keep_busy(self) -> None:
        """Start a run of each pipeline that has none under way. Raises HTTPError where the daemon does not answer."""
        busy = {run["pipeline"] for run in self._active()}
        for name in self.names:
            if name not in busy or name in self._owed:
                self._start(name)

    def keep_up(self, limit: float) -> None:
        """Keep them busy, once the daemon answers."""
        end = time.monotonic() + limit
        while True:
            try:
                self.keep_busy()
                return
            except httpx.HTTPError:
                assert time.monotonic() < end, "the daemon does not come to itself"
                time.sleep(0.1)

    def go_on(self, limit: float) -> None:
        """Keep them busy until one more command has begun: the work goes on."""
        end, before = time.monotonic() + limit, self._begun()
        while self._begun() <= before:
            assert time.monotonic() < end, "nothing goes on"
            self.keep_up(limit)
            time.sleep(0.05)

    def _begun(self) -> int:
        return len([*self._daemon.folder.glob("attempts/*/*/*/status.json")])

    def _start(self, name: str) -> None:
        if name not in self._owed:
            self._asked[name] += 1
            self._owed.add(name)
        key = f"{self.mark}-{name}-{self._asked[name]}"
        answer = self._daemon.http.post(f"/pipelines/{name}/runs", json={}, headers={"Idempotency-Key": key})
        answer.raise_for_status()
        self.runs[answer.json()["id"]] = name
        self._owed.discard(name)

    def _active(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for state in ("queued", "running"):
            answer = self._daemon.http.get("/runs", params={"state": state, "limit": 500})
            answer.raise_for_status()
            found += answer.json()["items"]
        return found

    def settle(self, limit: float) -> None:
        """Wait until nothing is owed, under way or without its archive: at most `limit` seconds without progress."""
        left, since = len(self.runs) + 1, time.monotonic()
        while True:
            try:
                for name in tuple(self._owed):
                    self._start(name)
                now = len(self._active()) + len([*self._daemon.folder.glob("attempts/*/*/*/log")])
                if not now:
                    return
                if now != left:
                    left, since = now, time.monotonic()
            except httpx.HTTPError:
                pass
            assert time.monotonic() - since < limit, f"{left} runs and logs do not end: {self._active()[:3]}"
            time.sleep(0.3)

    # what must be true

    def check(self) -> Counter[str]:
        """Every run has ended as it would have without any fault; counts of what was compared."""
        seen: Counter[str] = Counter()
        for run_id, pipeline in self.runs.items():
            self._check_run(self._daemon.status(run_id), pipeline, seen)
        listed = self._listed()
        assert listed == self.runs, f"runs that nobody has asked for, or lost: {listed.items() ^ self.runs.items()}"
        return seen

    def _listed(self) -> dict[str, str]:
        found, cursor = {}, ""
        while True:
            params = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
            answer = self._daemon.http.get("/runs", params=params)
            page = answer.raise_for_status().json()
            found |= {run["id"]: run["pipeline"] for run in page["items"]}
            cursor = page.get("cursor") or ""
            if not cursor:
                return found

    def _check_run(self, run: dict[str, Any], pipeline: str, seen: Counter[str]) -> None:
        shape = pipeline.partition("-")[0]
        assert run["state"] == ("failed" if shape == "fails" else "succeeded"), run
        wanted = {
            "diamond": {"a": "s", "b.1": "s", "b.2": "s", "b.3": "s", "c": "s"},
            "fails": {"a": "s", "b": "f", "c": ""},
            "retries": {"a": "fs", "b": "s"},
        }[shape]
        found = {s["name"]: "".join(a["state"][0] for a in s["attempts"]) for s in run["stages"]}
        assert found == wanted, run
        seen["runs"] += 1
        for stage, attempts in wanted.items():
            numbers = [p.name for p in sorted((self._daemon.folder / "attempts" / run["id"]).glob(f"{stage}/*"))]
            assert numbers == [str(n + 1) for n in range(len(attempts))], (run["id"], stage, numbers)
            for number in numbers:
                self._check_attempt(run["id"], stage, int(number), seen)

    def _check_attempt(self, run: str, stage: str, number: int, seen: Counter[str]) -> None:
        folder = self._daemon.folder / "attempts" / run / stage / str(number)
        ran = (folder / "out" / stage[0]).read_text()
        assert ran == "ran\n", f"{folder}: its command ran {ran.count('ran')} times"
        lines = [line for line in self._log(run, stage, number) if line.startswith("line ")]
        assert lines == [f"line {n + 1}" for n in range(LINES * self._rounds)], f"{folder}: {lines[:3]}…{lines[-3:]}"
        assert not (folder / "log").exists(), f"{folder}: its log was not archived"
        seen["attempts"] += 1
        seen["lines"] += len(lines)

    def _log(self, run: str, stage: str, number: int) -> list[str]:
        answer = self._daemon.http.get(
            f"/runs/{run}/stages/{stage}/log", params={"attempt": number, "limit": LINES * self._rounds + 10}
        )
        return [line["text"] for line in answer.raise_for_status().json()["lines"]]


def _none(*names: str) -> dict[str, dict[str, Any]]:
    return {name: {} for name in names}


def processes(told: Callable[[Path], bool]) -> list[str]:
    """The command lines of processes of which this is true, but our own."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if told(entry):
                found.append(f"{entry.name} {(entry / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()[:200]}")
        except OSError:
            continue
    return found


def left_behind(mark: str, folder: Path) -> list[str]:
    """Processes that belong to stages with this mark, or to a daemon on this folder."""
    sought = (mark.encode(), os.fsencode(folder))

    def told(entry: Path) -> bool:
        said = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        return any(s in said for s in sought) and b"pytest" not in (entry / "cmdline").read_bytes()

    return processes(told)


def kill(pid: int) -> None:
    """`kill -9`."""
    os.kill(pid, signal.SIGKILL)
