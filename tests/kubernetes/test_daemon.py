"""The daemon with stages on a real cluster, as a user has it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.spec.bundle import address, pack
from tests.e2e.daemon import Daemon
from tests.kubernetes.bench import CLAIM, images_missing
from tests.kubernetes.cluster import Cluster, kubectl
from tests.s3_fixture import S3Server

pytestmark = [pytest.mark.kubernetes, pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def daemon(confined: Cluster, folder: Path, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon whose data folder is on the shared volume."""
    data = folder / request.node.name.replace("[", "-").replace("]", "")
    data.mkdir()
    daemon = Daemon(data)
    daemon.start(*flags(confined, data))
    yield daemon
    daemon.close()
    shutil.rmtree(data)


def flags(cluster: Cluster, data: Path) -> list[str]:
    return [
        "--executor", "kubernetes", "--namespace", cluster.namespace, "--volume", f"{CLAIM}/{data.name}",
    ]  # fmt: skip


CHAIN = {
    "intermediates": {"total": {}, "files": {}},
    "outputs": {"report": {}},
    "environment": {"DAY": "${date}"},
    "cache": True,
    "stages": {
        "add": {
            "image": "python",
            "run": ["python3", "add.py"],
            "inputs": ["numbers"],
            "outputs": ["total"],
            "each": {"PART": ["a", "b"]},
        },
        "list": {
            "image": "duckdb",
            "script": "COPY (SELECT n * 2 AS n FROM read_csv(getenv('KHAN_INPUT_numbers')))"
            " TO '/khan/out/files/' (FORMAT csv, PER_THREAD_OUTPUT true);",
            "inputs": ["numbers"],
            "outputs": ["files"],
        },
        "report": {
            "image": "shell",
            "script": 'echo "$DAY"; cat "$KHAN_INPUT_total"/*; cat "$KHAN_INPUT_files"/* | wc -l; '
            'cat "$KHAN_INPUT_total"/* > "$KHAN_OUTPUT_report"',
            "inputs": ["total", "files"],
            "outputs": ["report"],
        },
        "last": {"image": "shell", "script": "echo the end", "after": ["report"]},
    },
}
ADD = """import csv, os
total = sum(int(row["n"]) for row in csv.DictReader(open(os.environ["KHAN_INPUT_numbers"])))
print("adding")
open(os.environ["KHAN_OUTPUT_total"], "w").write(str(total))
"""


def chain(daemon: Daemon, outside: Path) -> None:
    """Three images pass on files and folders, and code is there."""
    numbers = outside / "numbers.csv"
    numbers.write_text("n\n1\n2\n3\n")
    bundle = pack({"add.py": (ADD.encode(), False)})
    assert daemon.http.put(f"/bundles/{address(bundle)}", content=bundle).status_code < 300
    text = json.dumps({"name": "chain", "code": ["add.py"], "inputs": {"numbers": {"uri": numbers.as_uri()}}, **CHAIN})
    answer = daemon.http.post("/pipelines", json={"document": text, "bundle": address(bundle)})
    assert answer.status_code < 300, answer.text
    run_id = daemon.run("chain", date="2026-03-03")
    run = daemon.ended(run_id, limit=180)
    assert run["state"] == "succeeded", [(s["name"], s["message"]) for s in run["stages"]]
    assert daemon.log(run_id, "report") == ["2026-03-03", "664"]
    assert daemon.log(run_id, "add.a") == ["adding"]
    again = daemon.ended(daemon.run("chain", date="2026-03-03"), limit=180)
    states = {s["name"]: (s["state"], s["reused_from"]) for s in again["stages"]}
    assert states.pop("last") == ("succeeded", "")  # it has no outputs: it is there for what it does
    assert set(states.values()) == {("reused", run_id)}, [s["reason"] for s in again["stages"]]


def test_data_passes_between_images(daemon: Daemon, tmp_path: Path) -> None:
    chain(daemon, tmp_path)
    status = daemon.http.get("http://khantui/api/v1").json()
    assert (status["executor"], status["sandboxed"]) == ("kubernetes", True)
    metrics = daemon.http.get("http://khantui/metrics").text
    assert 'khantui_cluster_requests{resource="jobs",verb="create"} 6.0' in metrics


@pytest.mark.s3
def test_data_passes_through_an_object_store(
    confined: Cluster, s3_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}")
    if missing := images_missing("shell", "python", "duckdb", "stager"):
        pytest.skip(f"the cluster has no {missing}: `make images` builds the images and loads them")
    try:
        server = S3Server(s3_binary, tmp_path / "s3", node)
    except OSError:
        pytest.skip("the cluster's node is not this machine: pods could not reach an S3 server of this test")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    literals = [f"--from-literal={name}={value}" for name, value in server.environment.items()]
    confined.kubectl("create", "secret", "generic", "store", *literals)
    (tmp_path / "data").mkdir()
    daemon = Daemon(tmp_path / "data")
    try:
        daemon.start(
            "--executor", "kubernetes", "--namespace", confined.namespace,
            "--artifacts", f"{server.bucket('khan')}/prod", "--artifacts-secret", "store",
        )  # fmt: skip
        chain(daemon, tmp_path)
        daemon.apply("lazy", outputs={"x": {}}, stages={"a": {"script": "echo nothing", "outputs": ["x"]}})
        run = daemon.ended(daemon.run("lazy"), limit=120)
        (attempt,) = run["stages"][0]["attempts"]
        assert attempt["reason"] == "missing-output"
        assert "the output 'x' is missing: it wrote nothing" in attempt["message"]
    finally:
        daemon.close()
        server.kill()


def test_what_a_stage_waits_for_is_said_while_it_does(daemon: Daemon) -> None:
    daemon.apply("large", stages={"a": {"script": "true", "resources": {"cpu": 5000}}})
    run_id = daemon.run("large")

    def waits(run: dict[str, Any]) -> bool:
        return "not enough cpu: it needs 5000, and the largest node has" in run["stages"][0]["message"]

    daemon.until(run_id, waits)
    assert daemon.http.post(f"/runs/{run_id}/cancel").status_code < 300
    run = daemon.ended(run_id)
    assert (run["state"], run["stages"][0]["state"]) == ("cancelled", "cancelled")


def test_a_schedule_is_a_cronjob(daemon: Daemon, confined: Cluster) -> None:
    daemon.apply("tick", stages={"a": {"script": "echo tick"}})
    made = daemon.http.put("/schedules/often", json={"kind": "cron", "pipeline": "tick", "cron": ["* * * * *"]})
    assert made.status_code < 300, made.text
    end = time.monotonic() + 120
    while not (runs := daemon.http.get("/runs", params={"filter": "pipeline=tick"}).json()["items"]):
        assert time.monotonic() < end, confined.items("cronjobs")
        time.sleep(0.2)
    assert daemon.ended(runs[0]["id"], limit=120)["state"] == "succeeded"
    assert len(confined.items("cronjobs")) == 1
    assert daemon.http.delete("/schedules/often").status_code < 300
    confined.kubectl("wait", "--for=delete", "cronjobs", "--all", "--timeout=30s")


def test_registered_images_run(daemon: Daemon) -> None:
    listed = {image["name"]: image for image in daemon.http.get("/images").json()["items"]}
    assert listed["shell"]["available"]
    assert listed["shell"]["size"] > 50_000_000  # it has just been used, or will be: nodes list what they have
    mine = {"container": listed["shell"]["container"], "interpreter": ["awk", "-f"], "suffix": ".awk"}
    made = daemon.http.put("/images/lines", json=mine).json()
    assert (made["executors"], made["size"]) == (["kubernetes"], listed["shell"]["size"])
    daemon.apply("mine", stages={"a": {"image": "lines", "script": 'BEGIN { print "said by awk" }'}})
    run_id = daemon.run("mine")
    assert daemon.ended(run_id, limit=120)["state"] == "succeeded"
    assert daemon.log(run_id, "a") == ["said by awk"]
    tools = daemon.http.put("/images/mine", json={"tools": ["awk"]}).json()
    assert (tools["available"], tools["reason"]) == (False, "there is no container image for it")


@pytest.mark.timeout(600)
def test_all_the_examples_run(daemon: Daemon) -> None:
    """Shell, Python, R and SQL, as `make up` runs them in the sandbox; one of them is meant to fail."""
    argv = [sys.executable, "-m", "khantui", "up", "--examples", "--data", str(daemon.folder)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out" not in done.stderr
    images = {s["image"] for r in daemon.http.get("/runs").json()["items"] for s in daemon.status(r["id"])["stages"]}
    assert images == {"shell", "python", "duckdb", "r"}


def test_secrets_come_and_go(daemon: Daemon, confined: Cluster) -> None:
    def put(value: str) -> None:
        body = {"value": base64.b64encode(value.encode()).decode()}
        assert daemon.http.put("/secrets/token", json=body).status_code < 300

    def held() -> set[str]:
        """The values that the namespace has, by the label."""
        mine = confined.items("secrets", "-l", "khantui.dev/secret=token")
        return {base64.b64decode(secret["data"]["value"]).decode() for secret in mine}

    values = [f"a-value-that-is-nowhere-else-{number}" for number in range(3)]
    put(values[0])
    account = {"secrets": [{"secret": "token", "env": "TOKEN"}]}
    assert daemon.http.put("/accounts/loader", json=account).status_code < 300
    daemon.apply("loads", service_account="loader", stages={"a": {"script": 'echo "it is $TOKEN"'}})
    for value in values:
        put(value)
        run = daemon.ended(daemon.run("loads"), limit=120)
        assert run["state"] == "succeeded", run
        assert daemon.log(run["id"], "a") == [f"it is {'*' * len(value)}"]
        assert value in held()
    end = time.monotonic() + 60
    while values[0] in held():
        assert time.monotonic() < end, "its Secret is still there"
        time.sleep(0.2)
    for path in daemon.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [value for value in values if value.encode() in data], path
    assert daemon.http.delete("/pipelines/loads").status_code < 300
    assert daemon.http.delete("/accounts/loader").status_code < 300
    assert daemon.http.delete("/secrets/token").status_code < 300
    while held():
        assert time.monotonic() < end, "its Secrets are still there"
        time.sleep(0.2)
