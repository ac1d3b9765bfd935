"""An etcd whose quota is used up, seen through the whole daemon: it is read-only, says so, and heals by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd, pytest.mark.timeout(300)]

QUOTA = ("--etcd-quota", "16Mi")
HEALED = 150  # seconds for which healing is waited for; it begins within a minute


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    try:
        daemon.start(*QUOTA)
        yield daemon
    finally:
        daemon.close()


def _fill(daemon: Daemon, pipelines: int) -> dict[str, Any]:
    """Apply ever new versions of so many pipelines until it refuses: the problem."""
    for number in range(2000):
        document = {"name": f"large-{number % pipelines}", "description": f"{number} " + "x" * 200_000,
                    "stages": {"a": {"image": "shell", "script": "true"}}}  # fmt: skip
        answer = daemon.http.post("/pipelines", json={"document": httpx.Response(200, json=document).text})
        if answer.status_code != 201 and answer.status_code != 200:
            problem: dict[str, Any] = answer.json()
            return problem
    raise AssertionError("it is never full")


def _health(daemon: Daemon) -> dict[str, Any]:
    answer = daemon.http.get("http://khantui/healthz")
    assert answer.status_code == 200  # a restart of the daemon would not help
    return dict(answer.json())


def _until(daemon: Daemon, store: str, limit: float = 30) -> dict[str, Any]:
    end = time.monotonic() + limit
    while (said := _health(daemon))["store"] != store:
        assert time.monotonic() < end, said
        time.sleep(0.1)
    return said


def test_a_full_etcd_is_read_only_says_so_and_heals_once_there_is_room(daemon: Daemon) -> None:
    khantui = Program(daemon.folder)
    daemon.apply("waits", stages={"a": {"script": "sleep 4; echo done"}, "b": {"script": "echo after", "after": ["a"]}})
    run = daemon.run("waits")
    daemon.until(run, lambda r: r["stages"][0]["state"] == "running")
    problem = _fill(daemon, 20)
    assert (problem["status"], problem["code"]) == (507, "store-full"), problem
    assert "--etcd-quota" in problem["hint"]

    # it says so, everywhere
    assert "nothing else can be changed" in _until(daemon, "full")["message"]
    assert daemon.http.get("http://khantui/readyz").json()["store"] == "full"
    assert "FULL: read-only" in khantui("daemon", "status").out
    refused = khantui("run", "waits")
    assert refused.code == 1
    assert "etcd's space is used up" in refused.err
    # what is there can be read, and a daemon that is started now is the same
    assert daemon.status(run)["id"] == run
    daemon.kill()
    daemon.start(*QUOTA)
    _until(daemon, "full")
    assert daemon.status(run)["id"] == run
    assert daemon.http.get("/pipelines").status_code == 200

    # and what is deleted makes room
    for number in range(20):
        answer = daemon.http.delete(f"/pipelines/large-{number}")
        assert answer.status_code < 300 or answer.status_code == 404, answer.text
    _until(daemon, "ok", HEALED)
    ended = daemon.ended(run)
    assert (ended["state"], [len(s["attempts"]) for s in ended["stages"]]) == ("succeeded", [1, 1])
    assert daemon.log(run, "a") == ["done"]
    assert daemon.ended(daemon.run("waits"))["state"] == "succeeded"
