"""The stager in pods of the strictest kind: what one publishes another fetches; failures are its last words."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any

import pytest

from backend.artifacts import CodeStore, ObjectStore
from backend.layout import Layout
from backend.objects import open_bucket
from backend.objects.plan import VARIABLE, Fetched, Plan
from backend.spec.bundle import pack
from tests.kubernetes.bench import images_missing
from tests.kubernetes.cluster import Cluster, version
from tests.kubernetes.images import SHELL
from tests.kubernetes.test_images import REGISTRY, STRICT
from tests.s3_fixture import S3Server, pytest_collection_finish, pytest_sessionfinish, s3_binary, s3_for_pods

__all__ = ["pytest_collection_finish", "pytest_sessionfinish", "s3_binary", "s3_for_pods"]
pytestmark = [pytest.mark.kubernetes, pytest.mark.s3]

RUN = "01m85n6fsm-k8mv3h"


def pod(name: str, plan: Plan, script: str, environment: dict[str, str]) -> dict[str, Any]:
    """fetch, then the stage, then publish, as a stage's pod has them."""
    mounts = [{"name": part, "mountPath": f"/khan/{part}"} for part in ("in", "out", "code")]
    limits = {"limits": {"memory": "200Mi"}}
    stager: dict[str, Any] = {
        "image": f"{REGISTRY}/khantui-stager:{version()}",
        "env": [{"name": n, "value": v} for n, v in {**environment, VARIABLE: plan.pack()}.items()],
        "resources": limits,
        "volumeMounts": mounts,
        "securityContext": STRICT,
    }
    stage = {
        "name": "stage",
        "image": SHELL,
        "command": ["bash", "-euc", script],
        "volumeMounts": [m | {"readOnly": m["name"] != "out"} for m in mounts],
        "securityContext": STRICT,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"fsGroup": 1000},
            "initContainers": [{**stager, "name": "fetch", "args": ["fetch"]}, stage],
            "containers": [{**stager, "name": "publish", "args": ["publish"]}],
            "volumes": [{"name": part, "emptyDir": {}} for part in ("in", "out", "code")],
        },
    }


def ended(cluster: Cluster, name: str) -> dict[str, Any]:
    """Its containers' last states, by name, when it has ended."""
    end = time.monotonic() + 100
    while True:
        status = json.loads(cluster.kubectl("get", "pod", name, "-o", "json"))["status"]
        if status["phase"] in ("Succeeded", "Failed"):
            containers = status.get("initContainerStatuses", []) + status["containerStatuses"]
            return {c["name"]: c["state"].get("terminated", {}) for c in containers}
        assert time.monotonic() < end, status
        cluster.kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=2s", check=False)


@pytest.mark.timeout(300)
async def test_what_one_pod_publishes_another_fetches(
    confined: Cluster, s3_for_pods: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing := images_missing("shell", "stager"):
        pytest.skip(f"the cluster has no {missing}: `make images` builds the images and loads them")
    for variable, value in s3_for_pods.environment.items():
        monkeypatch.setenv(variable, value)
    url, tag = s3_for_pods.bucket(f"pods-{secrets.token_hex(4)}") + "/khan", secrets.token_hex(3)
    store = ObjectStore(open_bucket(url), Layout(tmp_path))
    code = await CodeStore(Layout(tmp_path), open_bucket(url)).put(pack({"make.sh": (b"seq 3 > /khan/out/rows", True)}))

    def at(stage: str) -> str:
        return f"attempts/{RUN}/{stage}/1"

    script = (
        "cd /khan/code; ./make.sh; mkdir -p /khan/out/tree/deep; echo x > /khan/out/tree/deep/x; "
        "head -c 300M /dev/urandom > /khan/out/tree/large"
    )
    plan = Plan(url, at("make"), code=code, outputs=("rows", "tree"))
    confined.apply(pod(f"make-{tag}", plan, script, s3_for_pods.environment))
    states = ended(confined, f"make-{tag}")
    assert all(state.get("exitCode") == 0 for state in states.values()), states
    records = await store.publish(RUN, "make", 1, ["rows", "tree"])
    assert (records["rows"].bytes, records["tree"].files, records["tree"].bytes) == (6, 2, (300 << 20) + 2)

    inputs = tuple(Fetched(f"in/{n}", r.location, r.kind, r.sha256) for n, r in records.items())
    script = "cat /khan/in/in/rows /khan/in/in/tree/deep/x > /khan/out/all; ! touch /khan/in/in/rows /khan/in/new"
    confined.apply(pod(f"read-{tag}", Plan(url, at("read"), inputs, outputs=("all",)), script, s3_for_pods.environment))
    states = ended(confined, f"read-{tag}")
    assert all(state.get("exitCode") == 0 for state in states.values()), states
    content = await store.open((await store.publish(RUN, "read", 1, ["all"]))["all"])
    assert b"".join([data async for data in content.read()]) == b"1\n2\n3\nx\n"

    failing = {
        "no-input": (Plan(url, at("x"), (Fetched("raw", "nowhere", "file"),)), "true", "fetch", "missing-input"),
        "no-output": (Plan(url, at("y"), outputs=("gone",)), "true", "publish", "missing-output"),
        "bad-output": (Plan(url, at("z"), outputs=("p",)), "mkfifo /khan/out/p", "publish", "missing-output"),
    }
    for name, (plan, script, container, reason) in failing.items():
        confined.apply(pod(f"{name}-{tag}", plan, script, s3_for_pods.environment))
        state = ended(confined, f"{name}-{tag}")[container]
        assert (state["exitCode"], json.loads(state["message"])["reason"]) == (1, reason)
