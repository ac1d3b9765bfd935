"""A daemon that is killed at any moment while stages write: every line of each log is there once, and in order."""

from __future__ import annotations

import random
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.layout import Layout
from tests.e2e.daemon import Daemon
from tests.kubernetes.bench import CLAIM
from tests.kubernetes.cluster import Cluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(400)]

LINES = 3000
SCRIPT = """
i=0
while [ $i -lt %d ]; do
    i=$((i+1)); echo $i
    [ $((i %% 100)) != 0 ] || sleep 0.5
done
"""


@pytest.fixture
def daemon(confined: Cluster, folder: Path) -> Iterator[Daemon]:
    """A daemon whose data folder is on the shared volume; it is started by the test."""
    data = folder / f"killed-{secrets.token_hex(3)}"
    data.mkdir()
    daemon = Daemon(data)
    yield daemon
    daemon.close()
    shutil.rmtree(data)


def test_no_line_is_lost_or_doubled(daemon: Daemon, confined: Cluster) -> None:
    flags = ("--executor", "kubernetes", "--namespace", confined.namespace, "--volume", f"{CLAIM}/{daemon.folder.name}")
    daemon.start(*flags)
    daemon.apply("writers", stages={name: {"script": SCRIPT % LINES} for name in ("a", "b", "c")})
    run_id = daemon.run("writers")
    daemon.until(run_id, lambda run: any(stage["state"] == "running" for stage in run["stages"]), 120)
    chance = random.Random(3)
    for _ in range(4):
        time.sleep(chance.random() * 2)  # any moment will do: it is chance that is tested
        daemon.kill()
        daemon.start(*flags)
    run = daemon.ended(run_id, limit=200)
    assert run["state"] == "succeeded", run
    for stage in ("a", "b", "c"):
        answer = daemon.http.get(f"/runs/{run_id}/stages/{stage}/log/raw")
        assert answer.status_code == 200, answer.text
        assert [int(line) for line in answer.text.splitlines()] == list(range(1, LINES + 1))
    confined.kubectl("wait", "--for=delete", "jobs", "-l", f"khantui.dev/run={run_id}", "--timeout=60s")
    layout = Layout(daemon.folder)
    assert all(layout.archived_log(run_id, stage, 1).exists() for stage in ("a", "b", "c"))
    assert not any(layout.live_log(run_id, stage, 1).exists() for stage in ("a", "b", "c"))
