"""A whole daemon whose clock is set hours forward and back while runs and schedules are going.

libfaketime stands between the daemon and the clock, and takes what to say from a file; the clock that cannot be set
stays as it is, and so do those of etcd and of the stages.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon import Daemon
from tests.reliability.load import Load, left_behind

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]

WAITS = 'until [ -e "$KHAN_OUTPUT_go" ]; do sleep 0.1; done'  # for the test
HOUR = 3600
# libfaketime refuses the kind of sleep that Python's time.sleep asks for (until some moment of a clock of its own)
SLEEP = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


class Skewed:
    """A daemon, and the file in which its clock is set."""

    def __init__(self, folder: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            pytest.skip("libfaketime is not there: apt-get install faketime")
        self.daemon = Daemon(folder)
        self._file = folder / "clock"
        self.set(0)
        (folder / "python").mkdir()
        (folder / "python" / "sitecustomize.py").write_text(SLEEP)
        self._pids: list[int] = []
        self._environment = {
            "PYTHONPATH": str(folder / "python"),
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def start(self, *flags: str) -> None:
        self.daemon.start(*flags, **self._environment)
        assert self.daemon.process is not None
        self._pids.append(self.daemon.process.pid)

    def close(self) -> None:
        """End it; what libfaketime leaves behind when it is killed goes, too."""
        self.daemon.close()
        for pid in self._pids:
            for name in (f"sem.faketime_sem_{pid}", f"faketime_shm_{pid}"):
                Path("/dev/shm", name).unlink(missing_ok=True)

    def set(self, seconds: int) -> None:
        """Set its clock so far from the true one."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self._file)

    def said(self) -> str:
        """What it says of its clock."""
        return str(self.daemon.http.get("http://khantui/api/v1").raise_for_status().json()["clock"])

    def goes(self, seconds: int) -> None:
        """Set it, and wait until the daemon says so."""
        before = self.said()
        self.set(seconds)
        until(lambda: self.said() != before)

    def logged(self) -> str:
        return (self.daemon.folder / "stderr").read_text()


@pytest.fixture
def skewed(tmp_path: Path) -> Iterator[Skewed]:
    skewed = Skewed(tmp_path)
    try:
        yield skewed
    finally:
        skewed.close()


def until(what: Callable[[], object], limit: float = 60) -> None:
    end = time.monotonic() + limit
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def _runs(daemon: Daemon, pipeline: str) -> list[dict[str, Any]]:
    answer = daemon.http.get("/runs", params={"pipeline": pipeline, "limit": 100})
    return list(answer.raise_for_status().json()["items"])


def _schedule(daemon: Daemon, name: str, **body: Any) -> None:
    answer = daemon.http.put(f"/schedules/{name}", json={"pipeline": name, "kind": "cron", **body})
    assert answer.status_code < 300, answer.text


def _waiting(**more: Any) -> dict[str, Any]:
    return {"intermediates": {"go": {}}, "stages": {"a": {"script": WAITS, "outputs": ["go"], **more}}}


def _go(daemon: Daemon, run: str, attempt: int = 1) -> None:
    (daemon.folder / "attempts" / run / "a" / str(attempt) / "out" / "go").write_text("go")


def test_what_runs_is_measured_on_and_no_tick_makes_two_runs(skewed: Skewed) -> None:
    daemon = skewed.daemon
    skewed.start()
    daemon.apply("patient", **_waiting(timeout="30m"))
    daemon.apply("late", **_waiting(timeout="8s"))
    daemon.apply("again", **_waiting(timeout="3s", retries={"limit": 1, "delay": "4s"}))
    for name in ("hourly", "minutely"):
        daemon.apply(name, stages={"a": {"script": "true"}})
    _schedule(daemon, "hourly", cron=["0 * * * *"], catch_up="all")
    _schedule(daemon, "minutely", cron=["* * * * *"])
    patient = daemon.run("patient")
    daemon.until(patient, lambda run: run["stages"][0]["attempts"][0]["state"] == "running")

    skewed.goes(5 * HOUR)
    assert skewed.said().startswith("went forward by 5:00:00")
    until(lambda: len(_runs(daemon, "hourly")) >= 5 and _runs(daemon, "minutely"))
    late, again = daemon.run("late"), daemon.run("again")
    daemon.until(again, lambda run: run["stages"][0]["state"] == "retrying")

    skewed.goes(-5 * HOUR)
    assert skewed.said().startswith("went back by 10:00:00")
    # ten hours are no reason to wait longer: the time-out comes, and so does what is tried again
    assert daemon.ended(late)["message"] == "a: killed: took longer than 8 s"
    daemon.until(again, lambda run: len(run["stages"][0]["attempts"]) == 2)
    _go(daemon, again, 2)
    assert daemon.ended(again)["state"] == "succeeded"

    skewed.goes(0)
    run = daemon.status(patient)
    assert run["state"] == "running", run
    _go(daemon, patient)
    ended = daemon.ended(patient)
    assert ended["state"] == "succeeded", ended
    assert ended["started"] <= ended["ended"]
    ticks = Counter((n, run["logical_time"]) for n in ("hourly", "minutely") for run in _runs(daemon, n))
    assert {tick: n for tick, n in ticks.items() if n > 1} == {}
    assert sum(name == "hourly" for name, _ in ticks) >= 5
    assert "this daemon leads no longer" not in skewed.logged()
    assert skewed.logged().count("this daemon leads\n") == 1
    assert "Traceback" not in skewed.logged()
    assert daemon.stop() == 0


def test_a_daemon_that_starts_while_its_clock_is_behind_ends_what_is_under_way(skewed: Skewed) -> None:
    daemon = skewed.daemon
    skewed.set(5 * HOUR)
    skewed.start()
    daemon.apply("late", **_waiting(timeout="5s"))
    daemon.apply("again", **_waiting(timeout="1s", retries={"limit": 1, "delay": "5s"}))
    again = daemon.run("again")
    daemon.until(again, lambda run: run["stages"][0]["state"] == "retrying")
    late = daemon.run("late")
    daemon.until(late, lambda run: run["stages"][0]["attempts"][0]["state"] == "running")
    daemon.kill()
    skewed.set(0)
    skewed.start()
    assert daemon.ended(late)["message"] == "a: killed: took longer than 5 s"
    assert len(daemon.ended(again)["stages"][0]["attempts"]) == 2
    assert "ahead" in skewed.logged()
    assert daemon.stop() == 0


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_clock_jumps_a_hundred_times_while_twelve_pipelines_run(skewed: Skewed) -> None:
    skewed.start("--slots", "100")
    load = Load(skewed.daemon, 12, rounds=5)
    load.apply()
    for n in range(100):
        load.keep_up(60)
        skewed.goes((-1) ** n * HOUR * (1 + n % 7))
    skewed.goes(0)
    load.settle(120)
    seen = load.check()
    print(f"compared {dict(seen)} after a hundred jumps")
    assert "Traceback" not in skewed.logged()
    assert skewed.logged().count("this daemon leads\n") == 1
    assert skewed.daemon.stop() == 0
    assert left_behind(load.mark, skewed.daemon.folder) == []
