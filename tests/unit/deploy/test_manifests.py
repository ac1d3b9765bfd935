"""What deploy/ holds: rights no wider than what the code does, pods of the strictest kind, names that fit together."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend import __version__
from backend.admin.accounts import ACCOUNTS
from backend.admin.certificates import AUTHORITY, SECRETS_KEY, TOKEN, certificates
from backend.admin.member import NAME, flags, member_of
from backend.kube.rights import RIGHTS

DEPLOY = Path(__file__).parents[3] / "deploy"
FILES = sorted(p for p in DEPLOY.rglob("*.yaml") if p.name != "kustomization.yaml")
OVERLAYS = ("small", "hostpath", "production", "gke-iap")
BUILT = (*(f"overlays/{name}" for name in OVERLAYS), "restore/small", "restore/production")
Manifest = dict[str, Any]


def written() -> Iterator[Manifest]:
    """Every manifest as it is written."""
    for path in FILES:
        yield from (m for m in yaml.safe_load_all(path.read_text()) if m)


def pods(manifests: Iterator[Manifest] | list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """What is made into pods: the object's name, and the pod's template."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield f"{manifest['kind']}/{manifest['metadata']['name']}", spec["template"]


PODS = list(pods(written()))


@cache
def built(folder: str) -> list[Manifest]:
    """The manifests of an overlay, as they are applied."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", str(DEPLOY / folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [m for m in yaml.safe_load_all(done.stdout) if m]


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def test_the_controller_has_the_rights_that_the_code_needs_and_no_others() -> None:
    rules = one(list(written()), "Role", "khantui-controller")["rules"]
    granted = {(g, r, v) for x in rules for g in x["apiGroups"] for r in x["resources"] for v in x["verbs"]}
    assert granted == {(r.group, r.resource, v) for r in RIGHTS for v in r.verbs}
    assert "*" not in str(rules)


def test_nothing_reaches_beyond_the_namespace() -> None:
    kinds = {m["kind"] for m in written()}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}


def test_only_the_job_that_makes_them_reads_secrets_and_only_ours() -> None:
    rules = one(list(written()), "Role", "khantui-certificates")["rules"]
    assert [r["verbs"] for r in rules] == [["create"], ["get", "patch"]]
    assert set(rules[1]["resourceNames"]) == {AUTHORITY, SECRETS_KEY, TOKEN, *certificates("khantui")}


@pytest.mark.parametrize(("name", "template"), PODS, ids=[name for name, _ in PODS])
def test_pods_are_of_the_strictest_kind_and_say_what_they_need(name: str, template: Manifest) -> None:
    spec = template["spec"]
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["enableServiceLinks"] is False  # those would be variables KHANTUI_…, which are ours
    assert spec["automountServiceAccountToken"] is (
        name.split("/")[1] in ("khantui-controller", "khantui-certificates")
    )
    for container in spec["containers"]:
        strict = container["securityContext"]
        assert strict["allowPrivilegeEscalation"] is False
        assert strict["readOnlyRootFilesystem"] is True
        assert strict["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        if name.startswith(("Deployment", "StatefulSet")):
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    assert "app.kubernetes.io/component" in template["metadata"]["labels"]


@pytest.mark.parametrize("folder", BUILT)
def test_what_is_built_fits_together(folder: str) -> None:
    manifests = built(folder)
    known = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    made = {AUTHORITY, SECRETS_KEY, TOKEN, *certificates("khantui")}
    claims = {f"data-{NAME}-{n}" for n in range(3)} | {"khantui-backups", "khantui-data"}
    assert {m["metadata"].get("namespace", "khantui") for m in manifests} == {"khantui"}
    for name, template in pods(manifests):
        spec = template["spec"]
        if account := spec.get("serviceAccountName"):
            assert ("ServiceAccount", account) in known, name
        for volume in spec.get("volumes", []):
            if secret := volume.get("secret"):
                assert secret["secretName"] in made, name
            if claim := volume.get("persistentVolumeClaim"):
                assert claim["claimName"] in claims, name
        for container in spec["containers"]:
            assert container["image"].endswith(f":{__version__}"), name
            mounted = {m["name"] for m in container.get("volumeMounts", [])}
            own = {"data"} if name.startswith("StatefulSet") else set()
            assert mounted == {v["name"] for v in spec.get("volumes", [])} | own, name
            for source in container.get("envFrom", []):
                if config := source.get("configMapRef"):
                    assert ("ConfigMap", config["name"]) in known, name
                else:
                    assert source["secretRef"]["optional"] is True, name


def test_where_volumes_ignore_fsgroup_every_pod_is_given_its_own_by_root_who_may_do_nothing_else() -> None:
    before = dict(pods(built("overlays/small")))
    for name, template in pods(built("overlays/hostpath")):
        containers = template["spec"].get("initContainers", [])
        spec = {k: v for k, v in template["spec"].items() if k != "initContainers"}
        assert spec == before[name]["spec"], name
        claimed = {v["name"] for v in spec.get("volumes", []) if "persistentVolumeClaim" in v}
        claimed |= {"data"} if name.startswith("StatefulSet") else set()
        assert {m["name"] for c in containers for m in c["volumeMounts"]} == claimed, name
        for container in containers:
            context = container["securityContext"]
            assert context["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE"]}
            assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
            assert container["image"].endswith(f":{__version__}")
    (space,) = [m for m in built("overlays/hostpath") if m["kind"] == "Namespace"]
    assert set(space["metadata"]["labels"].values()) == {"baseline"}


@pytest.mark.parametrize(("folder", "members"), [("overlays/small", 1), ("overlays/production", 3)])
def test_every_part_knows_all_members_of_etcd(folder: str, members: int) -> None:
    manifests = built(folder)
    settings = {m["metadata"]["name"].rsplit("-", 1)[0]: m["data"] for m in manifests if m["kind"] == "ConfigMap"}
    endpoints = settings["khantui-config"]["KHANTUI_ETCD_ENDPOINTS"].split(",")
    assert endpoints == [f"https://{NAME}-{n}.{NAME}:2379" for n in range(members)]
    assert settings["khantui-etcd-config"]["KHANTUI_ETCD_MEMBERS"] == str(members)
    assert one(manifests, "StatefulSet", NAME)["spec"]["replicas"] == members
    hosts = certificates("khantui")["khantui-etcd-tls"][1]
    assert {e.removeprefix("https://").partition(":")[0] for e in endpoints} <= set(hosts)
    restores = [m for m in built(folder.replace("overlays", "restore")) if m["kind"] == "Job"]
    arguments = [m["spec"]["template"]["spec"]["containers"][0]["args"] for m in restores]
    assert sorted(arguments) == [
        [f"--members={members}", f"--name={NAME}-{n}", "--restore=/backups"] for n in range(members)
    ]


def test_names_in_certificates_are_the_accounts_of_etcd() -> None:
    names = {secret: subject for secret, (subject, _) in certificates("khantui").items()}
    assert names["khantui-etcd-client-tls"] in ACCOUNTS
    assert names["khantui-etcd-root-tls"] == "root"
    assert {names["khantui-api-tls"], names["khantui-etcd-tls"]}.isdisjoint({"root", *ACCOUNTS})
    said = flags(member_of(f"{NAME}-0", 1), Path("/data"), Path("/tls"))
    assert f"--peer-cert-allowed-cn={names['khantui-etcd-peer-tls']}" in said


def test_network_policies_speak_of_pods_and_ports_that_there_are() -> None:
    templates = dict(PODS)
    components = {t["metadata"]["labels"]["app.kubernetes.io/component"] for t in templates.values()}
    ports = {p["name"] for t in templates.values() for c in t["spec"]["containers"] for p in c.get("ports", [])}
    for policy in (m for m in written() if m["kind"] == "NetworkPolicy"):
        spec = policy["spec"]
        selected = spec["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component")
        assert selected is None or selected in components
        for rule in spec.get("ingress", []):
            assert {p["port"] for p in rule["ports"]} <= ports
            for peer in rule.get("from", []):
                for expression in peer.get("podSelector", {}).get("matchExpressions", []):
                    assert set(expression["values"]) <= components
