"""A real stage in each of the images, in pods as strict as Kubernetes knows them: see images/."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.spec.images import IMAGES, Image, find, reference
from tests.kubernetes.cluster import Cluster, namespace

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, pytest.mark.timeout(900)]

STAGES = Path(__file__).parent / "stages"
VERSION = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
REGISTRY = os.environ.get("KHANTUI_REGISTRY", "ghcr.io/khantui")
HEAVY = frozenset(("r", "bigquery", "dataflow"))  # those that not everybody builds
ROWS = [{"kind": "a", "value": 1}, {"kind": "b", "value": 5}, {"kind": "a", "value": 2}, {"kind": "c", "value": 9}]
STRICT = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module")
def strict() -> Iterator[Cluster]:
    """A namespace that refuses what does not keep to the strictest of the pod security standards."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with contextlib.ExitStack() as stack:
        with Cluster("").calm():
            cluster = stack.enter_context(namespace(f"khantui-images-{os.getpid()}", labels))
        files = {path.name: path.read_text() for path in STAGES.iterdir() if path.is_file()}
        files["rows"] = json.dumps(ROWS)
        files["lines"] = "".join(json.dumps(row) + "\n" for row in ROWS)
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": files})
        yield cluster


@pytest.fixture(autouse=True)
def calm(strict: Cluster) -> Iterator[None]:
    """Other tests do not kill the cluster's parts meanwhile."""
    with strict.calm():
        yield


def run(cluster: Cluster, name: str, image: Image, command: list[str], rows: str = "rows") -> str:
    """Run a command in an image to its good end: its log."""
    container = {
        "name": "stage",
        "image": reference(image, REGISTRY, VERSION),
        "command": command,
        "workingDir": "/khan/code",
        "env": [
            {"name": "KHAN_INPUT_rows", "value": "/khan/in/rows"},
            {"name": "KHAN_OUTPUT_out", "value": "/khan/out/out"},
        ],
        "volumeMounts": [
            {"name": "code", "mountPath": "/khan/code"},
            {"name": "code", "mountPath": "/khan/in/rows", "subPath": rows},
            {"name": "out", "mountPath": "/khan/out"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        "securityContext": STRICT,
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [
            {"name": "code", "configMap": {"name": "code"}},
            {"name": "out", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    phase, status = "", {}
    while phase not in ("Succeeded", "Failed"):
        cluster.kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=2s", check=False)
        status = json.loads(cluster.kubectl("get", "pod", name, "-o", "json"))["status"]
        phase = status["phase"]
        if _cannot_be_pulled(status):
            if image.container in HEAVY:
                pytest.skip(f"{container['image']} is not in the cluster: make images")
            pytest.fail(f"{container['image']} is not in the cluster: make images")
    log = cluster.kubectl("logs", name)
    assert phase == "Succeeded", (status, log)
    return log


def _cannot_be_pulled(status: dict[str, Any]) -> bool:
    waiting = [s["state"].get("waiting", {}).get("reason", "") for s in status.get("containerStatuses", ())]
    return any(reason in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull") for reason in waiting)


@pytest.mark.parametrize("image", IMAGES.values(), ids=lambda i: i.name)
def test_a_stage_runs_in_every_image_which_holds_what_is_said(strict: Cluster, image: Image) -> None:
    if image.name == "bigquery":
        log = run(strict, image.name, image, ["python3", "/khan/code/bigquery.py"], "lines")
        assert "result kind,value a,3 b,5 " in log
    else:
        log = run(strict, image.name, image, [*image.interpreter, f"/khan/code/{image.name}{image.suffix}"])
        assert "result a 3 b 5 c 9" in log
    held = dict(line.split()[1:3] for line in log.splitlines() if line.startswith("holds "))
    assert held.keys() == image.holds.keys()
    for name, version in image.holds.items():
        assert f"{held[name].removeprefix('v')}.".startswith(f"{version}."), f"{name} is {held[name]}, not {version}"


@pytest.mark.parametrize(
    ("name", "command", "said"),
    [
        ("daemon", "python3 -m backend --help", "--etcd"),
        ("daemon", "khantui version", VERSION),
        ("stager", "python3 -m backend.stager modules", "backend.stager.publish"),
        (
            "stager",
            "KHAN_PLAN=nonsense KHAN_TERMINATION_LOG=/tmp/said python3 -m backend.stager fetch || cat /tmp/said",
            '{"reason": "start-failed", "message": "KHAN_PLAN is no plan',
        ),
    ],
    ids=["daemon", "command-line", "stager", "stager-without-a-plan"],
)
def test_the_images_of_the_project_itself_start(
    strict: Cluster, request: pytest.FixtureRequest, name: str, command: str, said: str
) -> None:
    image = Image(name, "", (), "", (), name)
    assert said in run(strict, f"own-{request.node.callspec.id}", image, ["sh", "-c", command])


def test_a_container_image_of_any_registry_is_what_it_is(strict: Cluster) -> None:
    image = find(reference(IMAGES["shell"], REGISTRY, VERSION))
    assert image is not None
    assert run(strict, "any", image, [*image.interpreter, "-c", "id -u"]) == "1000\n"
