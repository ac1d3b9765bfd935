"""The daemon, the API server and the kubelet are killed under runs: each ends right, and no attempt has two pods."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.test_kill import STAGES
from tests.kubernetes.census import Census
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.test_daemon import daemon, flags

__all__ = ["daemon"]

pytestmark = [pytest.mark.kubernetes, pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT = 300.0


@pytest.fixture
def census(confined: Cluster) -> Iterator[Census]:
    with Census(confined.namespace) as census:
        yield census


@pytest.fixture
def chain(daemon: Daemon) -> Daemon:
    daemon.apply("chain", intermediates={"a": {}, "b": {}}, stages=STAGES)
    return daemon


def check(daemon: Daemon, census: Census, run_id: str) -> None:
    """It ran as if nothing had happened: every stage once, in one pod, with its whole log."""
    run = daemon.ended(run_id, LIMIT)
    assert run["state"] == "succeeded", [(s["name"], s["message"], s["attempts"]) for s in run["stages"]]
    for stage in run["stages"]:
        assert [a["state"] for a in stage["attempts"]] == ["succeeded"], stage
        assert daemon.log(run_id, stage["name"]).count(f"ran {stage['stage']}") == 1
    assert daemon.log(run_id, "c")[-1].strip() == "3"
    assert census.of(run_id) == {"a/1": 1, "b.1/1": 1, "b.2/1": 1, "b.3/1": 1, "c/1": 1}


@pytest.mark.parametrize("seed", [1])
def test_the_daemon_is_killed_at_random_moments(chain: Daemon, census: Census, confined: Cluster, seed: int) -> None:
    chance = random.Random(seed)
    runs = [chain.run("chain") for _ in range(3)]
    for _ in range(5):
        time.sleep(chance.uniform(0.05, 3.0))  # any moment will do: this is the fault, not a wait
        chain.kill()
        chain.start(*flags(confined, chain.folder))
    for run_id in runs:
        check(chain, census, run_id)


@pytest.mark.faults
def test_the_api_server_is_killed_and_comes_back(chain: Daemon, census: Census, confined: Cluster) -> None:
    chance = random.Random(3)
    with confined.faults() as faults:
        runs = [chain.run("chain") for _ in range(2)]
        for _ in range(3):
            time.sleep(chance.uniform(0.1, 3.0))
            faults.kill("kube-apiserver")
            time.sleep(chance.uniform(0.0, 2.0))
            faults.up()
        for run_id in runs:
            check(chain, census, run_id)


@pytest.mark.faults
def test_the_kubelet_is_killed_and_comes_back(chain: Daemon, census: Census, confined: Cluster) -> None:
    chance = random.Random(4)
    with confined.faults() as faults:
        runs = [chain.run("chain") for _ in range(2)]
        for _ in range(2):
            time.sleep(chance.uniform(0.5, 3.0))
            faults.kill("kubelet")
            time.sleep(chance.uniform(0.0, 2.0))
            faults.up()
        for run_id in runs:
            check(chain, census, run_id)


@pytest.mark.faults
def test_everything_is_killed_at_once(chain: Daemon, census: Census, confined: Cluster) -> None:
    with confined.faults() as faults:
        run_id = chain.run("chain")
        chain.until(run_id, lambda run: any(s["state"] == "running" for s in run["stages"]))
        faults.kill("kubelet")
        faults.kill("kube-apiserver")
        chain.kill()
        chain.start(*flags(confined, chain.folder))  # it starts without a cluster, and waits for one
        faults.up()
        check(chain, census, run_id)


def test_a_hundred_stages_wide(daemon: Daemon, census: Census, confined: Cluster) -> None:
    width = 100
    daemon.apply(
        "wide",
        intermediates={"part": {}},
        stages={
            "part": {
                "script": 'echo "$N" > "$KHAN_OUTPUT_part"',
                "outputs": ["part"],
                "each": {"N": [str(n) for n in range(width)]},
            },
            "sum": {"script": "cat \"$KHAN_INPUT_part\"/* | awk '{s += $1} END {print s}'", "inputs": ["part"]},
        },
    )
    with confined.calm():
        before = requests(daemon)
        run_id = daemon.run("wide")
        run = daemon.ended(run_id, 500)
        sent = requests(daemon) - before
    assert run["state"] == "succeeded", [(s["name"], s["message"]) for s in run["stages"] if s["state"] != "succeeded"]
    assert daemon.log(run_id, "sum") == [str(sum(range(width)))]
    pods = census.of(run_id)
    assert len(pods) == width + 1
    assert set(pods.values()) == {1}
    # its Job made and deleted, its log followed, asked for its last entry and read to its end: nothing is polled
    assert sent <= 6 * (width + 1) + 20


def requests(daemon: Daemon) -> float:
    """How many requests the daemon has sent to the API server."""
    lines = daemon.http.get("http://khantui/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("khantui_cluster_requests{"))
