"""Two daemons on one etcd and one data folder: one leads; the other takes over, and the first writes nothing more."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backend.store.etcd import SPACE, EtcdStore
from backend.store.server_binary import EtcdBinary
from tests.e2e.daemon import Daemon
from tests.etcd_fixture import etcd_binary, pytest_collection_finish
from tests.reliability.load import Load, left_behind
from tests.store.cluster import Cluster

__all__ = ["etcd_binary", "pytest_collection_finish"]
pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]


@pytest.fixture
def cluster(etcd_binary: EtcdBinary) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="kh-leaders-"))
    cluster = Cluster(folder, etcd_binary, 1)
    cluster.start_all()
    yield cluster
    cluster.close()
    shutil.rmtree(folder, ignore_errors=True)


class Pair:
    """Two daemons that share everything but their sockets. The first leads, since it comes first."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        access = cluster.access("daemon")
        self._flags = ["--etcd", ",".join(cluster.endpoints), "--slots", "100"]
        self._flags += ["--etcd-ca", str(access.ca), "--etcd-cert", str(access.cert), "--etcd-key", str(access.key)]
        self.first = Daemon(folder, folder / "first.sock")
        self.second = Daemon(folder, folder / "second.sock")

    def start(self, daemon: Daemon) -> None:
        daemon.start(*self._flags, "--socket", str(daemon.socket))

    def close(self) -> None:
        for daemon in (self.first, self.second):
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.send_signal(signal.SIGCONT)
            daemon.close()


@pytest.fixture
def pair(cluster: Cluster, tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(cluster, tmp_path)
    try:
        pair.start(pair.first)
        _until_it_leads(pair.first)
        yield pair
    finally:
        pair.close()


def _leads(daemon: Daemon) -> bool:
    try:
        return bool(daemon.http.get("http://khantui/api/v1").raise_for_status().json()["leader"])
    except httpx.HTTPError:
        return False


def _until_it_leads(daemon: Daemon, leads: bool = True) -> float:
    """Seconds until a daemon leads, or leads no more."""
    began = time.monotonic()
    while _leads(daemon) is not leads:
        assert time.monotonic() < began + 60
        time.sleep(0.05)
    return time.monotonic() - began


def _hold(load: Load, daemon: Daemon) -> None:
    load.settle(60)
    print(f"compared {dict(load.check())}", file=sys.__stderr__)


def test_when_the_leader_is_killed_the_other_takes_over_what_runs(pair: Pair) -> None:
    load = Load(pair.second, 6, rounds=12)
    pair.start(pair.second)
    load.apply()
    load.keep_up(60)
    assert not _leads(pair.second)
    time.sleep(1)  # any moment will do: this is the fault, not a wait
    pair.first.kill()
    print(f"the other leads after {_until_it_leads(pair.second):.1f} s", file=sys.__stderr__)
    _hold(load, pair.second)
    assert pair.second.stop() == 0
    assert left_behind(load.mark, pair.second.folder) == []


async def test_a_leader_that_was_stopped_past_its_lease_writes_nothing_when_it_wakes(
    pair: Pair, cluster: Cluster
) -> None:
    access = cluster.access("observer")
    store = EtcdStore(cluster.endpoints, access=access)
    firsts = {item.key for item in (await store.page(f"{SPACE}writers/", f"{SPACE}writers0")).items}
    assert firsts, "every transaction leaves its writer's mark"
    pair.start(pair.second)
    load = Load(pair.second, 6, rounds=30)  # stages end and others begin while the first sleeps, and after
    load.apply()
    load.keep_up(60)
    pair.first.until(next(iter(load.runs)), lambda run: run["state"] == "running")
    assert _leads(pair.first)
    assert pair.first.process is not None
    os.kill(pair.first.process.pid, signal.SIGSTOP)
    print(f"the other leads after {_until_it_leads(pair.second):.1f} s", file=sys.__stderr__)
    writers = {key.rsplit("/", 1)[0] for key in firsts}
    asleep = (await store.page("", "\x7f", limit=1)).revision

    os.kill(pair.first.process.pid, signal.SIGCONT)
    print(f"the first knows after {_until_it_leads(pair.first, leads=False):.1f} s", file=sys.__stderr__)
    _hold(load, pair.second)
    marks = (await store.page(f"{SPACE}writers/", f"{SPACE}writers0")).items
    assert [m.key for m in marks if m.key.rsplit("/", 1)[0] in writers and m.modified > asleep] == []
    assert max(m.modified for m in marks) > asleep, "the second has written meanwhile"
    await store.close()

    pair.second.kill()  # and it may lead again
    _until_it_leads(pair.first)
    assert pair.first.stop() == 0
    assert left_behind(load.mark, pair.first.folder) == []
