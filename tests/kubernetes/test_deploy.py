"""deploy/ on a real cluster: it comes up, runs the examples, is backed up and restored, and loses a member of etcd."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.kube.rights import RIGHTS
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.installation import ONE_NODE, REGISTRY, Installation, installed, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, pytest.mark.timeout(420)]

EXAMPLES = Path(__file__).parents[2] / "khantui" / "examples"
# writes version after version of a pipeline, without a pause: how many, how many were refused, the longest wait for one
WRITER = """
import json, pathlib, time, httpx
http = httpx.Client(transport=httpx.HTTPTransport(uds="/run/khantui/api.sock"), base_url="http://khantui", timeout=30)
def write(number):
    stages = {"a": {"image": "shell", "script": "true"}}
    document = json.dumps({"name": "probe", "description": str(number), "stages": stages})
    return http.post("/api/v1/pipelines", json={"document": document})
assert write(0).status_code < 300, write(0).text
print("begun", flush=True)
made, failed, longest, said, last = 1, 0, 0.0, "", time.monotonic()
while not pathlib.Path("/tmp/enough").exists():
    answer = write(made)
    now = time.monotonic()
    if answer.status_code < 300:
        made, longest, last = made + 1, max(longest, now - last), now
    else:
        failed, said = failed + 1, answer.text
    time.sleep(0.05)
print(json.dumps({"made": made, "failed": failed, "longest": longest, "said": said}), flush=True)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A small cluster's, on volumes as the cluster makes them, whoever owns those at first."""
    name = f"khantui-small-{secrets.token_hex(3)}"
    with Cluster("").calm(), installed("hostpath", name, tmp_path_factory.mktemp("small"), 1) as installation:
        yield installation


@pytest.mark.parametrize("overlay", ["small", "hostpath", "production"])
def test_the_api_server_takes_every_manifest(cluster: Cluster, tmp_path: Path, overlay: str) -> None:
    built = Installation(cluster, tmp_path, overlay, 1).build(f"overlays/{overlay}", ONE_NODE)
    said = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=built)
    assert said.count("dry run") > 25


def test_the_api_server_takes_what_is_its_own_of_gke_behind_iap(cluster: Cluster, tmp_path: Path) -> None:
    """The kinds that only GKE knows (BackendConfig, ManagedCertificate, FrontendConfig) cannot be tried elsewhere."""
    built = Installation(cluster, tmp_path, "gke-iap", 3).build("overlays/gke-iap")
    documents = [d for d in built.split("\n---\n") if "cloud.google.com/" not in d.split("kind:")[0]]
    own = [d for d in documents if "networking.gke.io/v1" not in d.split("kind:")[0]]
    assert len(documents) > len(own)
    said = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin="\n---\n".join(own))
    assert "deployment.apps/khantui-web" in said
    assert "ingress.networking.k8s.io/khantui-web" in said


def test_the_examples_run_inside(small: Installation) -> None:
    """Those that need no other to have run, three images among them, as a person in the pod would start them."""
    small.kubectl("cp", str(EXAMPLES), f"{_pod(small)}:/tmp/examples")
    small.khantui("apply", "/tmp/examples")
    for name in ("temperature", "penguins", "weather"):
        small.khantui("run", name, "--wait", timeout=180)
    runs = {r["pipeline"]: r for r in map(json.loads, small.khantui("runs", "-o", "jsonl").splitlines())}
    assert {runs[n]["state"] for n in ("temperature", "penguins", "weather")} == {"succeeded"}
    assert small.khantui("logs", "weather", "report")
    assert small.khantui("artifacts", "weather")
    failed = small.call("run", "penguins-mass", "--wait", timeout=180)
    assert failed.returncode == 1
    view = json.loads(small.khantui("daemon", "status", "-o", "json"))
    assert (view["executor"], view["sandboxed"]) == ("kubernetes", True)


def test_a_job_of_the_cluster_runs_a_pipeline_over_tls_with_a_token(small: Installation) -> None:
    """As a program elsewhere in the cluster would: by the Service, knowing the authority and the token alone."""
    small.khantui("apply", "/tmp/examples/penguins")
    files = [
        {"name": "ca", "mountPath": "/ca", "readOnly": True},
        {"name": "token", "mountPath": "/token", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    container = {
        "name": "run",
        "image": f"{REGISTRY}/khantui-daemon:0.1.0",
        "command": ["khantui", "run", "penguins", "--wait"],
        "env": [
            {"name": "KHANTUI_ADDRESS", "value": "https://khantui"},
            {"name": "KHANTUI_CA", "value": "/ca/ca.crt"},
            {"name": "KHANTUI_TOKEN_FILE", "value": "/token/token"},
        ],
        "volumeMounts": files,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "ca", "secret": {"secretName": "khantui-api-tls", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"name": "token", "secret": {"secretName": "khantui-token"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "from-outside"}}
    small.cluster.apply(job | {"spec": {"backoffLimit": 0, "template": {"spec": spec}}})
    assert "succeeded" in small.job("from-outside")


def test_the_accounts_may_do_what_they_must_and_nothing_else(small: Installation) -> None:
    namespace = small.cluster.namespace

    def may(account: str) -> set[tuple[str, str, str]]:
        said = small.kubectl("auth", "can-i", "--list", f"--as=system:serviceaccount:{namespace}:{account}")
        rights = set()
        for line in said.splitlines()[1:]:
            if line.startswith("["):  # paths that are not resources: what everybody may see
                continue
            what, names, verbs = line.split("[")[0].strip(), line.split("[")[2].split("]")[0], line.split("[")[-1]
            rights |= {(what, names, v) for v in verbs.rstrip("] \n").split()}
        return rights

    everybody = may("default")
    expected = {(f"{r.resource}.{r.group}".rstrip("."), "", v) for r in RIGHTS for v in r.verbs}
    assert may("khantui-controller") - everybody == expected
    assert may("khantui-api") - everybody == set()
    of_certificates = may("khantui-certificates") - everybody
    assert {what for what, _, _ in of_certificates} == {"secrets"}
    assert {v for _, names, v in of_certificates if not names} == {"create"}


def test_etcd_lets_nobody_in_without_a_certificate_of_its_own(small: Installation) -> None:
    """Not without one, and not with that of the API, which comes from the same authority."""
    script = (
        "from backend.etcd_access import EtcdAccess as A; from backend.store.etcd import EtcdStore as S\n"
        "import asyncio, os, pathlib as p\n"
        "t = lambda d, own: A(ca=p.Path(d, 'ca.crt'), **(dict(cert=p.Path(d, 'tls.crt'), key=p.Path(d, 'tls.key'))"
        " if own else {}))\n"
        "async def ask(access, root):\n"
        "    try:\n"
        "        await S([os.environ['KHANTUI_ETCD_ENDPOINTS']], access=access, root=root, timeout=3).get('leader')\n"
        "        return 'let in'\n"
        "    except Exception as error: return str(error)\n"
        "for d, own, root in (('etcd', True, '/khan/v1/'), ('etcd', True, '/other/'), ('etcd', False, '/khan/v1/'),"
        " ('tls', True, '/khan/v1/')):\n"
        "    print(asyncio.run(ask(t('/etc/khantui/' + d, own), root)))\n"
    )
    until(
        "etcd's accounts are made",
        lambda: "permission denied" in small.kubectl("exec", "deploy/khantui-api", "--", "python3", "-c", script),
    )
    said = small.kubectl("exec", "deploy/khantui-api", "--", "python3", "-c", script).splitlines()
    assert said[0] == "let in"
    assert "permission denied" in said[1]
    assert "wants a certificate" in said[2]
    assert said[3] != "let in"


def test_what_was_backed_up_is_there_again_after_a_restore(small: Installation) -> None:
    document = json.dumps({"name": "early", "stages": {"a": {"image": "shell", "script": "echo early"}}})
    _apply(small, document)
    small.khantui("run", "early", "--wait")
    assert "saved /backups/khantui-" in small.job("backup-of-the-test", "khantui-backup")
    _apply(small, document.replace("early", "late"))
    (said,) = small.restore()
    assert "has the state of /backups/khantui-" in said
    assert "what was there before is in /var/lib/etcd/data.before-" in said
    names = small.khantui("pipelines", "-o", "name").split()
    assert "early" in names
    assert "late" not in names
    assert small.khantui("logs", "early", "a") == "early\n"
    small.khantui("run", "early", "--wait")


def test_the_certificates_are_renewed_and_taken_up_without_a_restart(small: Installation) -> None:
    assert "is good for" in small.job("renewal-not-due", "khantui-certificates")
    before = small.kubectl("get", "secret", "khantui-api-tls", "-o", "jsonpath={.data.tls\\.crt}")
    manifest = json.loads(
        small.kubectl(
            "create", "job", "renewal", "--from=cronjob/khantui-certificates", "--dry-run=client", "-o", "json"
        )
    )
    manifest["spec"]["template"]["spec"]["containers"][0]["command"].append("--renew")
    small.cluster.apply(manifest)
    assert "khantui-etcd-client-tls is renewed" in small.job("renewal")
    assert before != small.kubectl("get", "secret", "khantui-api-tls", "-o", "jsonpath={.data.tls\\.crt}")
    small.kubectl("delete", "pod", "khantui-etcd-0")  # every connection to it is made anew
    small.green()
    small.khantui("run", "penguins", "--wait")


def test_doctor_finds_what_is_there_and_what_is_not(small: Installation) -> None:
    argv = [sys.executable, "-m", "khantui", "doctor", "--executor", "kubernetes"]
    argv += ["--namespace", small.cluster.namespace, "--volume", "khantui-data"]
    done = subprocess.run([*argv, "--try"], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done
    for word in (
        "Kubernetes 1.",
        "baseline",
        "all 27 that the daemon needs",
        "for any node",
        "was scheduled, fetched",
    ):
        assert word in done.stdout
    done = subprocess.run(
        [*argv[:-1], "nowhere", "--registry", "registry.invalid/none", "--try"],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 1
    assert "there is no PersistentVolumeClaim nowhere" in done.stdout
    assert "registry.invalid/none/khantui-shell" in done.stdout


def test_three_members_one_of_which_is_killed_in_turn(tmp_path: Path) -> None:
    """Writes go on meanwhile: none is lost, and the longest pause is short."""
    with installed("production", f"khantui-prod-{secrets.token_hex(3)}", tmp_path, 3) as site:
        pod = _pod(site)
        writer = subprocess.Popen(
            ["kubectl", "-n", site.cluster.namespace, "exec", "-i", pod, "--", "python3", "-c", WRITER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        for number in range(3):
            name = f"pod/khantui-etcd-{number}"
            uid = site.kubectl("get", name, "-o", "jsonpath={.metadata.uid}")
            site.kubectl("delete", name, "--force", "--grace-period=0")
            until(
                "the member is made anew",
                lambda name=name, uid=uid: (
                    site.kubectl("get", name, "-o", "jsonpath={.metadata.uid}", check=False) not in ("", uid)
                ),
            )
            site.kubectl("wait", "--for=condition=Ready", name, "--timeout=80s")
        site.khantui("run", "probe", "--wait")
        leader = site.kubectl("get", "pods", "-l", "app.kubernetes.io/component=controller", "-o", "name").split()
        assert len(leader) == 2
        site.kubectl("exec", pod, "--", "touch", "/tmp/enough")
        said = json.loads(writer.communicate(timeout=60)[0])
        assert said["failed"] == 0, said
        assert said["longest"] < 10, said
        versions = site.khantui("history", "probe", "-o", "name").split()
        assert len(versions) == said["made"], said


def _pod(site: Installation) -> str:
    return site.kubectl(
        "get", "pods", "-l", "app.kubernetes.io/component=api", "-o", "jsonpath={.items[0].metadata.name}"
    )


def _apply(site: Installation, document: str) -> None:
    pod = _pod(site)
    site.kubectl("exec", "-i", pod, "--", "sh", "-c", "mkdir -p /tmp/p && cat > /tmp/p/pipeline.json", stdin=document)
    site.khantui("apply", "/tmp/p")
