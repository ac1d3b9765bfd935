"""Three etcds, one killed after another while pipelines run: nothing is lost, and no run stands still for long."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from backend.store.server_binary import EtcdBinary
from tests.e2e.daemon import Daemon
from tests.etcd_fixture import etcd_binary, pytest_collection_finish
from tests.reliability.load import Load, left_behind
from tests.store.cluster import Cluster

__all__ = ["etcd_binary", "pytest_collection_finish"]
pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]


LONGEST = 10.0  # seconds that a run may stand still, by what the daemon wrote down, a retry's delay (1 s) included


@pytest.fixture
def cluster(etcd_binary: EtcdBinary) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="kh-members-"))
    cluster = Cluster(folder, etcd_binary, 3)
    cluster.start_all()
    yield cluster
    cluster.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def daemon(cluster: Cluster, tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    try:
        access = cluster.access("daemon")
        flags = ("--etcd-ca", str(access.ca), "--etcd-cert", str(access.cert), "--etcd-key", str(access.key))
        daemon.start("--slots", "200", "--etcd", ",".join(cluster.endpoints), *flags)
        yield daemon
    finally:
        daemon.close()


def _kill_in_turn(cluster: Cluster, load: Load, rounds: int) -> int:
    """Kill each member, and have it back before the next: how many were killed."""
    killed = 0
    for _ in range(rounds):
        for member in range(3):
            load.keep_up(60)
            cluster.kill(member)
            load.go_on(60)  # two of three are enough
            cluster.start(member)
            cluster.wait(member, 60)
            killed += 1
    return killed


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _stall(run: dict[str, object]) -> float:
    """The longest time, in seconds, in which a run that was to go on had no command running."""
    spans = sorted(
        (_moment(a["started"]), _moment(a["ended"]))
        for stage in run["stages"]  # type: ignore[attr-defined]
        for a in stage["attempts"]
    )
    worst, reached = 0.0, _moment(str(run["created"]))
    for started, ended in [*spans, (_moment(str(run["ended"])),) * 2]:
        worst, reached = max(worst, started - reached), max(reached, ended)
    return worst


def _hold(daemon: Daemon, load: Load) -> float:
    """Everything is as it would have been: the longest that a run stood still, in seconds."""
    load.settle(120)
    seen = load.check()
    stalls = sorted(_stall(daemon.status(run)) for run in load.runs)
    print(
        f"compared {dict(seen)}; the longest that a run stood still: {stalls[-1]:.1f} s, at the median "
        f"{stalls[len(stalls) // 2]:.2f} s (waits before a retry, 1 s, are among them)",
        file=sys.__stderr__,
    )
    assert daemon.stop() == 0
    assert left_behind(load.mark, daemon.folder) == []
    return stalls[-1]


def test_each_of_three_members_is_killed_once(cluster: Cluster, daemon: Daemon) -> None:
    load = Load(daemon, 6, rounds=3)
    load.apply()
    assert _kill_in_turn(cluster, load, 1) == 3
    _hold(daemon, load)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_each_of_three_members_is_killed_again_and_again_while_fifty_pipelines_run(
    cluster: Cluster, daemon: Daemon
) -> None:
    load = Load(daemon, 50, rounds=8)
    load.apply()
    began = time.monotonic()
    killed = _kill_in_turn(cluster, load, 7)
    print(f"killed {killed} members in {time.monotonic() - began:.0f} s", file=sys.__stderr__)
    assert _hold(daemon, load) < LONGEST, "a run stood still for longer than is promised"
