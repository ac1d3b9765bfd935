"""The Job of an attempt."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from backend.accounts.grant import GivenSecret, Grant
from backend.cluster_access import ClusterAccess
from backend.errors import ExecutorError
from backend.executors.base import AttemptKey, AttemptSpec, Mount
from backend.executors.kubernetes import access
from backend.executors.kubernetes.gathering import MOST
from backend.executors.kubernetes.manifest import job
from backend.executors.kubernetes.opening import settings_of
from backend.executors.kubernetes.settings import ObjectStorage, Settings, SharedVolume
from backend.objects.plan import read_plan
from backend.spec.model import Placement, Resources, Toleration

VOLUME = Settings("i", SharedVolume("claim", "khan/data"), "example.org/khantui", "1.0")
STORE = Settings("i", ObjectStorage("s3://b/p", "stager:1", "keys"), "example.org/khantui", "1.0")


def spec(**more: Any) -> AttemptSpec:
    given: dict[str, Any] = {
        "key": AttemptKey("06f2k9x4qe-7f3k2a", "clean", 1), "image": "python", "argv": ("python3", "a.py"),
        "script": "", "environment": {}, "inputs": (), "outputs": ("out",), "code": "",
        "resources": Resources(), "pipeline": "p",
    }  # fmt: skip
    return AttemptSpec(**(given | more))


def pod(settings: Settings, **more: Any) -> dict[str, Any]:
    return dict(job(spec(**more), settings)["spec"]["template"]["spec"])


def test_on_a_shared_volume_parts_of_it_are_mounted() -> None:
    made = pod(VOLUME, code="c0de", inputs=(Mount("raw", "artifacts/inputs/1", "file", "a"),))
    (stage,) = made["containers"]
    mounts = {m["mountPath"]: (m.get("subPath"), m.get("readOnly", False)) for m in stage["volumeMounts"]}
    assert mounts == {
        "/tmp": (None, False),
        "/khan/in/raw/a": ("khan/data/artifacts/inputs/1", True),
        "/khan/code": ("khan/data/code/c0de", True),
        "/khan/out": ("khan/data/attempts/06f2k9x4qe-7f3k2a/clean/1/out", False),
    }
    assert stage["image"] == "example.org/khantui/khantui-python:1.0"


def test_an_input_of_many_entries_is_one_mount() -> None:
    many = tuple(Mount("raw", f"a/{n}", "file", str(n)) for n in range(MOST + 1))
    (stage,) = pod(VOLUME, inputs=many)["containers"]
    paths = [m["subPath"] for m in stage["volumeMounts"] if m["mountPath"].startswith("/khan/in")]
    assert paths == ["khan/data/attempts/06f2k9x4qe-7f3k2a/clean/1/in/raw"]


@pytest.mark.parametrize(
    ("more", "first", "last"),
    [
        ({"code": "c0de"}, ["fetch", "stage"], ["publish"]),
        ({}, ["stage"], ["publish"]),
        ({"code": "c0de", "outputs": ()}, ["fetch"], ["stage"]),
        ({"outputs": ()}, [], ["stage"]),
    ],
)
def test_helpers_are_there_where_they_have_something_to_do(
    more: dict[str, Any], first: list[str], last: list[str]
) -> None:
    made = pod(STORE, **more)
    assert [c["name"] for c in made["initContainers"]] == first
    assert [c["name"] for c in made["containers"]] == last


def test_the_stage_does_not_see_the_stores_credentials() -> None:
    made = pod(STORE, inputs=(Mount("raw", "x", "file", "", "abc"),))
    fetch, stage = made["initContainers"]
    assert fetch["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert "envFrom" not in stage
    (variable,) = fetch["env"]
    plan = read_plan(variable["value"])
    assert (plan.store, plan.attempt) == ("s3://b/p", "attempts/06f2k9x4qe-7f3k2a/clean/1")
    assert [(i.place, i.location, i.sha256) for i in plan.inputs] == [("raw", "x", "abc")]


def test_every_container_is_confined() -> None:
    made = pod(STORE, code="c0de")
    for container in (*made["initContainers"], *made["containers"]):
        confined = container["securityContext"]
        assert (confined["allowPrivilegeEscalation"], confined["readOnlyRootFilesystem"]) == (False, True)
        assert confined["capabilities"] == {"drop": ["ALL"]}
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (made["securityContext"]["runAsNonRoot"], made["automountServiceAccountToken"]) == (True, False)


def test_what_the_document_says_of_placement() -> None:
    placement = Placement(
        tolerations=(Toleration("gpu", "Equal", "a100", "NoSchedule"),), priority_class="high", devices={"x.org/gpu": 2}
    )
    made = pod(VOLUME, kubernetes=placement, resources=Resources(0.25, 1 << 30), timeout=60.0)
    assert made["tolerations"][0] == {"operator": "Equal", "key": "gpu", "value": "a100", "effect": "NoSchedule"}
    assert made["priorityClassName"] == "high"
    assert made["containers"][0]["resources"] == {
        "limits": {"x.org/gpu": "2", "memory": "1Gi"},
        "requests": {"x.org/gpu": "2", "memory": "1Gi", "cpu": "250m"},
    }
    assert made["activeDeadlineSeconds"] > 60


def test_a_stage_says_it_differently() -> None:
    of_all = Placement(node_selector={"a": "1"}, priority_class="low", labels={"team": "x"})
    own = Placement(node_selector={"b": "2"}, priority_class="high")
    assert own.over(of_all) == Placement(
        node_selector={"a": "1", "b": "2"}, priority_class="high", labels={"team": "x"}
    )


def test_the_manifest_is_json() -> None:
    msgspec.json.encode(job(spec(script="echo $HOME", argv=(), environment={"X": "$(Y)"}), VOLUME))


def test_settings() -> None:
    access = ClusterAccess(volume="claim/a/b", accounts=("a=b",), waits=("image=30s", "room=1h", "start=never"))
    settings = settings_of(access, "", "i")
    assert settings.storage == SharedVolume("claim", "a/b")
    assert (settings.image_wait, settings.room_wait, settings.start_wait) == (30.0, 3600.0, None)
    assert settings.accounts == {"a": "b"}
    stored = settings_of(ClusterAccess(registry="r.example/k"), "s3://b", "i").storage
    assert isinstance(stored, ObjectStorage)
    assert stored.stager.startswith("r.example/k/khantui-stager:")


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (ClusterAccess(), "need a place for artifacts"),
        (ClusterAccess(volume="c", waits=("luck=1h",)), "nothing waits for 'luck'"),
        (ClusterAccess(volume="c", waits=("room=soon",)), "--wait room=soon: 'soon' is no duration"),
        (ClusterAccess(volume="c", waits=("node=never",)), "--wait node=never: 'never' is no duration"),
    ],
)
def test_settings_that_make_no_sense(access: ClusterAccess, words: str) -> None:
    with pytest.raises(ExecutorError, match=words):
        settings_of(access, "", "i")


def test_where_an_object_store_is_is_opened_to_all_and_unless_it_is_known_there_are_no_policies() -> None:
    assert access.policy("none", Grant(), STORE) is None
    known = access.policy("none", Grant(), replace(STORE, store_network=("10.9.0.0/16:9000",)))
    assert known is not None
    assert known["spec"]["egress"] == [
        {"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 9000, "protocol": "TCP"}]}
    ]
    assert access.policy("mapped", Grant(), VOLUME) is None  # by a flag: nothing is declared here


def test_a_job_refers_to_secrets_and_does_not_have_them() -> None:
    secrets = (
        GivenSecret("api_token", "v1", b"s3cr3t", env="TOKEN"),
        GivenSecret("key", "v2", b"s3cr3t", env="KEY", file="key.json"),
    )
    made = pod(VOLUME, account="a", grant=Grant(secrets=secrets, declared=True))
    (stage,) = made["containers"]
    variables = {v["name"]: v for v in stage["env"]}
    assert variables["TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "khantui-i-api-token-v1", "key": "value"}}
    assert variables["KEY"]["value"] == "/khan/secrets/key.json"
    assert {"name": "secrets", "mountPath": "/khan/secrets", "readOnly": True} in stage["volumeMounts"]
    assert "s3cr3t" not in repr(made)
    assert (made["automountServiceAccountToken"], "serviceAccountName" in made) == (False, False)
    fetched = pod(STORE, code="c0de", account="a", grant=Grant(secrets=secrets, declared=True))
    for helper in (fetched["initContainers"][0], *fetched["containers"]):
        assert "secrets" not in {m["name"] for m in helper["volumeMounts"]}
        assert "TOKEN" not in {v["name"] for v in helper["env"]}
