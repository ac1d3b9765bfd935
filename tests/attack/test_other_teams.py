"""What belongs to another team: looked for by whoever may edit their own, in every way there is to name it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.attack.victim import FOREIGN, OURS, Victim

pytestmark = [pytest.mark.attack, pytest.mark.slow]


def test_another_teams_runs_logs_and_artifacts_are_not_there(victim: Victim) -> None:
    run = victim.names["run"]
    for path in (
        "/pipelines/mine", "/pipelines/mine/versions", "/pipelines/mine/versions/1", "/pipelines/mine/diff",
        "/pipelines/mine/cache", "/pipelines/mine/log/search?q=ours", f"/runs/{run}", f"/runs/{run[-6:]}",
        f"/runs/{run}/log", f"/runs/{run}/log/search?q=ours", f"/runs/{run}/stages/only", f"/runs/{run}/artifacts",
        f"/runs/{run}/stages/only/log", f"/runs/{run}/stages/only/log/raw", f"/runs/{run}/artifacts/out/content",
        "/schedules/mine",
    ):  # fmt: skip
        answer = victim.as_(FOREIGN, "GET", path)
        assert answer.status_code in (400, 404), (path, answer.text)
        assert OURS not in answer.text
        assert victim.as_("viewer", "GET", path).status_code in (200, 400, 409), path  # who may, sees it
    for path in ("/runs", "/pipelines", "/schedules", "/backfills", "/forecast"):
        assert "mine" not in victim.as_(FOREIGN, "GET", path).text


def test_no_role_is_taken_by_who_has_not_got_it(victim: Victim) -> None:
    for who in ("viewer", "operator", "editor", FOREIGN):
        for method, path, body in (
            ("POST", "/auth/bindings", {"subject": f"token:role-{who}", "role": "admin"}),
            ("POST", "/auth/tokens", {"name": "more", "role": "admin"}),
            ("DELETE", "/auth/tokens/role-admin", None),
            ("PUT", "/secrets/stolen", {"value": "12345678"}),
            ("GET", "/audit", None),
        ):
            answer = victim.as_(who, method, path, json=body)
            assert answer.status_code == 403, (who, path, answer.text)


def test_another_teams_output_is_not_had_by_a_document_that_reads_it(victim: Victim) -> None:
    stage = {"image": "shell", "script": "cat $KHAN_INPUT_x", "inputs": ["x"], "timeout": "1m"}
    document = {"name": "theirs-too", "inputs": {"x": {"from": "mine/out"}}, "stages": {"a": stage}}
    answer = victim.as_(FOREIGN, "POST", "/pipelines", json={"document": json.dumps(document)})
    assert answer.status_code in (403, 404, 422), answer.text
    assert OURS not in answer.text


@pytest.mark.parametrize(
    "name",
    ["../mine", "theirs/../mine", "mine\0", "theirs\n", "a" * 5000, "../../etc/passwd", "THEIRS", "thęirs", "%2e%2e"],
)
def test_names_are_names_and_no_paths(victim: Victim, name: str) -> None:
    run, part = victim.names["run"], quote(name, safe="")
    for path in (
        f"/pipelines/{part}", f"/schedules/{part}", f"/runs/{part}", f"/runs/{run}/stages/{part}/log/raw",
        f"/runs/{run}/artifacts/{part}/content", f"/channels/{part}", f"/images/{part}", f"/secrets/{part}",
        f"/bundles/{part}",
    ):  # fmt: skip
        for method in ("GET", "PUT", "DELETE"):
            answer = victim.as_("editor", method, path, json={} if method == "PUT" else None)
            assert answer.status_code in (400, 403, 404, 405, 422), (method, path, answer.text)
    answer = victim.as_("admin", "GET", f"/runs/{run}/artifacts/out/content", params={"path": name})
    assert answer.status_code in (200, 400, 404)
    assert "root:" not in answer.text


def test_the_daemons_own_files_are_no_inputs(victim: Victim) -> None:
    stage = {"script": "cat $KHAN_INPUT_x", "inputs": ["x"], "timeout": "1m"}
    for number, uri in enumerate(
        (f"file://{victim.daemon.folder}/secrets.key", "http://169.254.169.254/x", "file:///proc/self/environ")
    ):
        victim.daemon.apply(f"theirs-{number}", inputs={"x": {"uri": uri}}, stages={"a": dict(stage)})
        run = victim.daemon.ended(victim.daemon.run(f"theirs-{number}"))
        assert run["state"] == "failed"
        assert "out of reach" in json.dumps(run), run


def test_the_daemons_socket_and_its_etcd_are_out_of_a_stages_reach(victim: Victim) -> None:
    port = victim.url.rpartition(":")[2]
    script = f"""
import socket, os
for family, where in ((socket.AF_UNIX, "{victim.daemon.socket}"), (socket.AF_INET, ("127.0.0.1", {port})),
                      (socket.AF_INET, ("127.0.0.1", 2379))):
    try:
        with socket.socket(family) as s:
            s.settimeout(2)
            s.connect(where)
            print("REACHED", where)
    except OSError as error:
        print("refused", error.errno)
print(os.path.exists("{victim.daemon.folder}"))
"""
    stages = {"a": {"image": "python", "script": script, "timeout": "1m"}}
    victim.daemon.apply("theirs-net", stages=stages)
    run = victim.daemon.run("theirs-net")
    assert victim.daemon.ended(run)["state"] == "succeeded"
    log = victim.daemon.log(run, "a")
    assert [line.split()[0] for line in log] == ["refused"] * 3 + ["False"], log
