"""kill -9 of the daemon and of etcd in the middle of runs: they end as they would have, and nothing runs twice."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]

# each stage says that it ran, and hands on how many before it did
STAGES = {
    "a": {"script": 'echo ran a; sleep 0.4; echo 1 > "$KHAN_OUTPUT_a"', "outputs": ["a"]},
    "b": {
        "script": 'echo ran b; sleep 0.4; cp "$KHAN_INPUT_a" "$KHAN_OUTPUT_b"',
        "inputs": ["a"],
        "outputs": ["b"],
        "each": {"N": ["1", "2", "3"]},
    },
    "c": {"script": 'echo ran c; sleep 0.4; cat "$KHAN_INPUT_b"/* | wc -l', "inputs": ["b"]},
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    try:
        daemon.start()
        daemon.apply("chain", intermediates={"a": {}, "b": {}}, stages=STAGES)
        yield daemon
    finally:
        daemon.close()


def check(daemon: Daemon, run_id: str) -> None:
    run = daemon.ended(run_id)
    assert run["state"] == "succeeded", run
    for stage in run["stages"]:
        assert [a["state"] for a in stage["attempts"]] == ["succeeded"], stage
        lines = daemon.log(run_id, stage["name"])
        assert lines.count(f"ran {stage['stage']}") == 1, lines
    assert daemon.log(run_id, "c")[-1].strip() == "3"


@pytest.mark.parametrize("moment", [0.05, 0.3, 0.5, 0.8, 1.2])
def test_the_daemon_is_killed_and_started_again(daemon: Daemon, moment: float) -> None:
    runs = [daemon.run("chain") for _ in range(2)]
    time.sleep(moment)  # any moment will do: this is the fault, not a wait
    daemon.kill()
    daemon.start()
    for run_id in runs:
        check(daemon, run_id)


def test_etcd_is_killed_and_comes_back_by_itself(daemon: Daemon) -> None:
    run_id = daemon.run("chain")
    for _ in range(3):
        time.sleep(random.uniform(0.05, 0.4))
        daemon.kill_etcd()
        daemon.until(run_id, lambda run: True)
    check(daemon, run_id)


def test_both_are_killed_at_once(daemon: Daemon) -> None:
    run_id = daemon.run("chain")
    daemon.until(run_id, lambda run: any(s["state"] == "running" for s in run["stages"]))
    daemon.kill_etcd()
    daemon.kill()
    daemon.start()
    check(daemon, run_id)


def test_a_run_asked_for_and_not_begun_is_not_forgotten(daemon: Daemon) -> None:
    runs = [daemon.run("chain") for _ in range(5)]
    daemon.kill()
    daemon.start()
    for run_id in runs:
        check(daemon, run_id)
