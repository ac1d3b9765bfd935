"""What commands print of what the daemon says, over real HTTP from a server that says it by rote."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from khantui.cli.root import khantui

RUN_ID = "06f2k9x4qe-7f3k2a"
T = "2026-11-23T06:00:0{}Z".format


def stage(name: str, state: str, needs: list[str], **more: Any) -> dict[str, Any]:
    value = {
        "name": name, "stage": name, "state": state, "image": "python", "each": {}, "needs": needs, "level": 0,
        "ready": None, "started": None, "ended": None, "retry_at": None, "message": "", "attempts": [],
        "inputs": {}, "outputs": {}, "reused_from": "", "reason": "",
    }  # fmt: skip
    return value | more


ATTEMPT = {
    "number": 1,
    "state": "failed",
    "started": T(1),
    "ended": T(3),
    "exit_code": 3,
    "reason": "exit",
    "message": "exit 3",
}
STAGES = [
    stage(
        "clean",
        "succeeded",
        [],
        started=T(0),
        ended=T(1),
        attempts=[ATTEMPT | {"state": "succeeded"}],
        reason="ran: input events changed (a → b\u001b[2J), since run 7f3k29",
    ),
    stage("by_region", "failed", ["clean"], started=T(1), ended=T(3), attempts=[ATTEMPT]),
    stage("plot", "skipped", ["by_region"], message="needs by_region, which failed"),
]
RUN = {
    "id": RUN_ID, "pipeline": "weekly-\u001b[2Jlearners", "version": 12, "state": "failed", "logical_time": T(0),
    "zone": "UTC", "created": T(0), "started": T(0), "ended": T(5), "parameters": {"region": "eu"},
    "trigger": {"kind": "schedule", "schedule": "monday-6"}, "message": "by_region: exit 3", "ending": "", "round": 1,
    "progress": {"total": 3, "succeeded": 1, "failed": 1, "skipped": 1}, "revision": 7, "stages": STAGES,
}  # fmt: skip
LINES = [
    {"number": n, "offset": 0, "text": text, "time": T(n), "length": len(text)}
    for n, text in enumerate(["reading", "\u001b[31mERROR\u001b[0m: no such\u001b[2J table", "exit"], 1)
]
LOG = {"run": RUN_ID, "stage": "by_region", "attempt": 1, "lines": LINES, "total_lines": 3, "total_bytes": 40,
       "complete": True, "archived": True, "first_error": 2}  # fmt: skip
MERGED = [
    {**{k: v for k, v in line.items() if k != "number"}, "number": 2 * at + which + 1, "line": at + 1, "stage": name,
     "attempt": 1, "error": at == 1}
    for at, line in enumerate(LINES) for which, name in enumerate(("clean", "by_region"))
]  # fmt: skip
HIT = {"run": RUN_ID, "pipeline": "weekly", "state": "failed", "logical_time": T(0), "started": T(0), "number": 4,
       "stage": "by_region", "attempt": 1, "line": LINES[1], "before": LINES[:1], "after": LINES[2:]}  # fmt: skip


def page(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "cursor": None, "total": len(items), "revision": 9}


ANSWERS: dict[str, Any] = {
    "/runs": page(RUN),
    f"/runs/{RUN_ID}": RUN,
    "/runs/7f3k2a": RUN,
    **{f"/runs/{RUN_ID}/stages/{s['name']}/log": LOG | {"stage": s["name"]} for s in STAGES},
    f"/runs/{RUN_ID}/log": {
        "run": RUN_ID,
        "logs": 2,
        "lines": MERGED,
        "total_lines": len(MERGED),
        "total_bytes": 80,
        "complete": True,
        "archived": True,
        "first_error": 3,
    },
    "/pipelines/weekly/log/search": {"hits": [HIT], "cursor": None, "runs": 3, "logs": 9, "bytes": 90, "at": T(0)},
}
FOLLOWED = b"".join(json.dumps(m).encode() + b"\n" for m in MERGED if m["stage"] == "by_region")


class Rote(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path).path.removeprefix("/api/v1")
        value = ANSWERS.get(path)
        status = 200 if value is not None or path.endswith("/follow") else 404
        body = json.dumps(value or {"title": "no", "status": 404, "code": "not-found"}).encode()
        if path.endswith("/follow"):
            body = FOLLOWED
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Rote) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def call(address: str, *args: str) -> Result:
    return CliRunner().invoke(khantui, [*args, "--address", address])


@pytest.mark.parametrize("named", ["7f3k2a", RUN_ID, "weekly-learners"])
def test_a_failed_run_opens_on_the_answer(address: str, named: str) -> None:
    result = call(address, "status", named)
    assert result.exit_code == 0, result.output
    for words in (
        "✖ failed after 5.0s", "by_region: exit 3", "⊘ skipped", "needs by_region, which failed",
        "▶ ERROR: no such table",
        "khantui retry 7f3k2a", "khantui logs 7f3k2a by_region", "monday-6", "region=eu",
    ):  # fmt: skip
        assert words in result.stdout, result.stdout
    assert "\x1b" not in result.stdout


def test_runs_are_a_line_each_and_control_characters_are_seen(address: str) -> None:
    result = call(address, "runs")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].startswith("7f3k2a  weekly-␛[2Jlearners  2026-11-23 06:00  ✖ failed  █✖⊘ 3/3")


def test_logs_are_merged_with_their_stage(address: str) -> None:
    result = call(address, "logs", "7f3k2a")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"{name} │ {text}"
        for text in ("reading", "ERROR: no such table", "exit")
        for name in ("clean    ", "by_region")
    ]


def test_following_a_run_that_has_ended_ends(address: str) -> None:
    result = call(address, "logs", "7f3k2a", "by_region", "-f")
    assert result.stdout == "reading\nERROR: no such table\nexit\n"


def test_what_is_found_in_all_runs_of_a_pipeline_names_run_stage_and_line(address: str) -> None:
    result = call(address, "logs", "--pipeline", "weekly", "by_region", "--errors", "-C", "1")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "7f3k2a by_region:1 │ reading",
        "7f3k2a by_region:2 │ ERROR: no such table",
        "7f3k2a by_region:3 │ exit",
    ]
    found = json.loads(call(address, "logs", "--pipeline", "weekly", "--grep", "x", "-o", "json").stdout)
    assert [line["run"] for line in found] == [RUN_ID] * 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--pipeline", "w"], "--grep or --errors"), ([], "which RUN?"), (["x", "--grep", "a", "--errors"], "which one")],
)  # fmt: skip
def test_wrong_usage_of_logs_says_what_is_wanted(address: str, arguments: list[str], said: str) -> None:
    result = call(address, "logs", *arguments)
    assert (result.exit_code, said in result.stderr) == (2, True)


def test_a_mistyped_stage_is_named(address: str) -> None:
    result = call(address, "logs", "7f3k2a", "by_regoin")
    assert (result.exit_code, "did you mean by_region?" in result.stderr) == (1, True)


def test_why_says_what_had_changed_and_what_stands_in_the_way(address: str) -> None:
    assert call(address, "why", "7f3k2a", "clean").stdout == (
        "clean succeeded: ran: input events changed (a → b␛[2J), since run 7f3k29\n"
    )
    lines = call(address, "why", "7f3k2a").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["STAGE", "clean", "by_region", "plot"]
    assert lines[-1].endswith("needs by_region, which failed")
    refused = call(address, "why", "7f3k2a", "plto")
    assert (refused.exit_code, "its stages: clean, by_region, plot" in refused.stderr) == (1, True)


@pytest.mark.parametrize("output", ["json", "jsonl", "name"])
def test_for_programs_a_run_is_the_object_that_the_daemon_gave(address: str, output: str) -> None:
    result = call(address, "status", "7f3k2a", "-o", output)
    if output == "name":
        assert result.stdout == f"{RUN_ID}\n"
    else:
        found = json.loads(result.stdout)
        assert found["stages"][1]["attempts"] == [ATTEMPT]
        assert {k: found[k] for k in RUN if k != "trigger"} == {k: v for k, v in RUN.items() if k != "trigger"}
