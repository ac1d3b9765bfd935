"""A real daemon that tells a real HTTP server: each thing once, whoever is killed meanwhile, and no secret anywhere."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon import Daemon

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]

SECRET = "s3cr3t-t0ken"
STAGES = {"s": {"script": 'echo begin; [ -e "$FLAG" ] || { echo "Error: no flag"; exit 3; }'}}


class Service:
    """A web hook. While `status` is an error it refuses."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.refused = 0
        self.status = 200
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if service.status == 200:
                    service.messages.append(json.loads(body))
                else:
                    service.refused += 1
                self.send_response(service.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_address[1]}/{SECRET}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def until(self, what: Callable[[], bool], limit: float = 60) -> None:
        end = time.monotonic() + limit
        while not what():
            assert time.monotonic() < end, (self.messages, self.refused)
            time.sleep(0.05)

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    try:
        daemon.start("--no-sandbox")
        yield daemon
    finally:
        daemon.close()


def channel(daemon: Daemon, *urls: str, **more: Any) -> dict[str, Any]:
    answer = daemon.http.put("/channels/oncall", json={"urls": urls, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def quiet(daemon: Daemon) -> dict[str, Any]:
    """Wait until nothing is left to tell: how the channel is."""
    end = time.monotonic() + 60
    while (view := daemon.http.get("/channels/oncall").json())["state"] != "idle":
        assert time.monotonic() < end, view
        time.sleep(0.05)
    return dict(view)


def pipeline(daemon: Daemon, name: str, flag: Path, **notify: list[str]) -> None:
    daemon.apply(name, environment={"FLAG": str(flag)}, stages=json.loads(json.dumps(STAGES)), notify=notify)


def test_a_failure_and_a_recovery_are_told_once_though_the_daemon_is_killed_between(
    daemon: Daemon, service: Service, tmp_path: Path
) -> None:
    shown = channel(daemon, service.url, every=0)
    assert SECRET not in json.dumps(shown)
    flag = tmp_path / "flag"
    pipeline(daemon, "loud", flag, failed=["oncall"], recovered=["oncall"])
    pipeline(daemon, "silent", flag)
    daemon.ended(daemon.run("silent"))
    failed = daemon.run("loud")
    service.until(lambda: len(service.messages) == 1)
    assert service.titles == ["loud failed"]
    body = service.messages[0]["message"]
    assert "s: exit 3" in body
    assert "first error: Error: no flag" in body
    assert f"khantui logs {failed[-6:]}" in body
    quiet(daemon)
    daemon.kill()
    daemon.start("--no-sandbox")
    again = daemon.run("loud")
    daemon.kill()  # whether or not it has begun to tell
    daemon.start("--no-sandbox")
    daemon.ended(again)
    service.until(lambda: len(service.messages) >= 2)
    quiet(daemon)
    assert set(service.titles[1:]) == {"loud failed, 2 times in a row"}
    flag.touch()
    told = len(service.messages)
    for _ in range(2):
        daemon.ended(daemon.run("loud"))
    service.until(lambda: len(service.messages) > told)
    quiet(daemon)
    assert len(service.messages) == told + 1
    assert service.titles[-1].startswith("loud has recovered after ")
    journal = daemon.http.get("/audit").text
    assert "put_channel" in journal
    assert SECRET not in journal + (daemon.folder / "stderr").read_text()


def test_what_a_dead_service_missed_is_told_together_when_it_is_back(
    daemon: Daemon, service: Service, tmp_path: Path
) -> None:
    service.status = 500
    channel(daemon, service.url, every=1)
    for name in ("one", "two", "three"):
        pipeline(daemon, name, tmp_path / "never", failed=["oncall"])
    daemon.ended(daemon.run("one"))
    service.until(lambda: service.refused > 0)
    for name in ("two", "three"):
        daemon.ended(daemon.run(name))
    service.until(lambda: daemon.http.get("/channels/oncall").json()["state"] == "failing")
    view = daemon.http.get("/channels/oncall").json()
    assert "500" in view["error"]
    assert SECRET not in json.dumps(view)
    ready = daemon.http.get("http://khantui/readyz")
    assert ready.status_code == 200
    assert ready.json()["channels_failing"] == ["oncall"]
    assert "khantui_channels_failing 1.0" in daemon.http.get("http://khantui/metrics").text
    tested = daemon.http.post("/channels/oncall/test").json()
    assert not tested["good"]
    assert "500" in tested["answers"][0]["said"]
    service.status = 200
    channel(daemon, service.url, every=1)  # a channel that is changed is tried at once
    service.until(lambda: len(service.messages) >= 2)
    assert quiet(daemon)["sent"] == 2
    metrics = daemon.http.get("http://khantui/metrics").text
    assert 'khantui_channel_messages_total{channel="oncall",outcome="sent"} 2.0' in metrics
    assert 'khantui_channel_messages_total{channel="oncall",outcome="failed"} 0.0' not in metrics
    assert "khantui_channels_failing 0.0" in metrics
    assert service.titles[0] == "one failed"
    assert service.titles[1] == "2 pipelines fail: two, three"


def test_a_pause_is_told_with_who_and_why(daemon: Daemon, service: Service, tmp_path: Path) -> None:
    channel(daemon, service.url)
    pipeline(daemon, "daily", tmp_path / "x", paused=["oncall"])
    made = daemon.http.put("/schedules/daily", json={"pipeline": "daily", "kind": "cron", "cron": ["0 6 * * *"]})
    assert made.status_code == 200, made.text
    paused = daemon.http.post("/schedules/daily/pause", json={"reason": "the source moves"})
    assert paused.status_code == 200
    service.until(lambda: len(service.messages) == 1)
    assert service.titles == ["the schedule daily is paused"]
    assert "the source moves" in service.messages[0]["message"]


def test_a_late_run_is_told_while_it_still_runs(daemon: Daemon, service: Service) -> None:
    channel(daemon, service.url)
    stages = {"s": {"script": "sleep 60"}}
    daemon.apply("slow", stages=stages, notify={"late": ["oncall"]})
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    body = {"pipeline": "slow", "kind": "once", "at": soon, "deadline": "1s"}
    made = daemon.http.put("/schedules/slow", json=body)
    assert made.status_code == 200, made.text
    service.until(lambda: len(service.messages) == 1)
    assert service.titles == ["slow is late"]
    run = daemon.http.get("/runs", params={"filter": "pipeline=slow"}).json()["items"][0]
    assert (run["late"], run["state"]) == (True, "running")
    daemon.http.post(f"/runs/{run['id']}/cancel")


def test_lint_warns_of_a_channel_that_is_not_there(daemon: Daemon, service: Service) -> None:
    channel(daemon, service.url)
    document = {"name": "p", "stages": {"s": {"image": "shell", "script": "true"}}, "notify": {"failed": ["onkall"]}}
    found = daemon.http.post("/lint", json={"document": json.dumps(document)}).json()
    assert found["ok"]
    assert [(f["code"], f["suggestion"]) for f in found["findings"]] == [("unknown-channel", "did you mean 'oncall'?")]
