"""An overlay of deploy/, applied to the cluster as a user applies it, in a namespace for one test."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster import CONTROL, Cluster, kubectl, namespace

DEPLOY = Path(__file__).parents[2] / "deploy"
OURS = "ghcr.io/khantui"
REGISTRY = os.environ.get(
    "KHANTUI_TEST_REGISTRY", OURS
)  # where the images of daemon and etcd are, built from this code
GIVES_VOLUMES = "hostpath"  # the overlay whose pods give volumes to our user by themselves
LEVELS = {GIVES_VOLUMES: "baseline"}  # the pod security that an overlay needs, where it is not "restricted"
# one node is enough for a test, and it has little room
ONE_NODE = [
    {
        "target": {"kind": "StatefulSet"},
        "patch": json.dumps([{"op": "remove", "path": "/spec/template/spec/affinity"}]),
    },
    {
        "target": {"kind": "PersistentVolumeClaim"},
        "patch": json.dumps([{"op": "replace", "path": "/spec/resources/requests/storage", "value": "1Gi"}]),
    },
]


class Installation:
    """One of them."""

    def __init__(self, cluster: Cluster, folder: Path, overlay: str, members: int) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl
        self.members = members
        self._folder = folder
        self._overlay = overlay

    def build(self, what: str, patches: Sequence[Any] = ()) -> str:
        """The manifests of a folder of deploy/, for this namespace."""
        place = self._folder / what.replace("/", "-")
        place.mkdir(exist_ok=True)
        images = [{"name": f"{OURS}/khantui-{n}", "newName": f"{REGISTRY}/khantui-{n}"} for n in ("daemon", "etcd")]
        text = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.cluster.namespace,
            "resources": [os.path.relpath(DEPLOY / what, place.resolve())],
            "images": images if REGISTRY != OURS else [],
            "patches": list(patches),
        }
        (place / "kustomization.yaml").write_text(json.dumps(text))
        return kubectl("kustomize", str(place))

    def up(self) -> None:
        """Apply it, and wait until every part is ready."""
        _offer_volumes(self.cluster)
        if self._overlay != GIVES_VOLUMES:
            self._prepare_volumes()
        level = LEVELS.get(self._overlay, "restricted")
        kubectl("label", "namespace", self.cluster.namespace, f"pod-security.kubernetes.io/enforce={level}")
        self.kubectl("apply", "-f", "-", stdin=self.build(f"overlays/{self._overlay}", ONE_NODE))
        self.green()

    def green(self) -> None:
        """Wait until every part is ready."""
        for part in ("statefulset/khantui-etcd", "deployment/khantui-api", "deployment/khantui-controller"):
            try:
                subprocess.run(
                    ["kubectl", "-n", self.cluster.namespace, "rollout", "status", part, "--timeout=150s"],
                    check=True,
                    capture_output=True,
                )
            except subprocess.CalledProcessError as error:
                pods = self.kubectl("get", "pods", "-o", "wide")
                events = self.kubectl("get", "events", "--sort-by=.lastTimestamp")
                raise AssertionError(f"{part} is not ready: {error.stderr!r}\n{pods}\n{events[-4000:]}") from error

    def khantui(self, *words: str, timeout: float = 120) -> str:
        """What the program says, called in a pod of the API; it must succeed."""
        done = self.call(*words, timeout=timeout)
        assert done.returncode == 0, done
        return done.stdout

    def call(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        argv = ["kubectl", "-n", self.cluster.namespace, "exec", "deploy/khantui-api", "--", "khantui", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout)

    def job(self, name: str, source: str = "") -> str:
        """Wait for a Job (made of the CronJob `source`, if one is named): what it has said."""
        if source:
            self.kubectl("create", "job", name, f"--from=cronjob/{source}")

        def over() -> bool:
            status = json.loads(self.kubectl("get", "job", name, "-o", "json"))["status"]
            ended = {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}
            if "Failed" in ended:
                raise AssertionError(f"{name} failed: {self.kubectl('logs', f'job/{name}', check=False)}")
            return "Complete" in ended

        try:
            until(f"{name} ends", over, 240)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{self.kubectl('describe', 'pods', '-l', f'job-name={name}')[-3000:]}"
            ) from error
        return self.kubectl("logs", f"job/{name}")

    def scale(self, replicas: dict[str, int]) -> None:
        """Have so many of each part."""
        for part, count in replicas.items():
            self.kubectl("scale", part, f"--replicas={count}")

    def restore(self) -> list[str]:
        """Go back to the newest backup, as docs/deploy.md says it: what the Jobs have said."""
        parts = {"deploy/khantui-api": 0, "deploy/khantui-controller": 0, "sts/khantui-etcd": 0}
        before = {p: int(self.kubectl("get", p, "-o", "jsonpath={.spec.replicas}")) for p in parts}
        self.scale(parts)
        self.kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=etcd", "--timeout=80s")
        self.kubectl("apply", "-f", "-", stdin=self.build(f"restore/{'small' if self.members == 1 else 'production'}"))
        jobs = self.kubectl("get", "jobs", "-o", "name").split()
        said = [self.job(j.partition("/")[2]) for j in jobs if "etcd-restore" in j]
        self.scale(before)
        self.green()
        return said

    def _prepare_volumes(self) -> None:
        """Give the folders of volumes to the user of our pods, where their class does not (fsGroup)."""
        claims = ["khantui-data", "khantui-backups", *(f"data-khantui-etcd-{n}" for n in range(self.members))]
        for claim in claims:
            modes = ["ReadWriteMany" if claim == "khantui-data" else "ReadWriteOnce"]
            self.cluster.apply(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": claim},
                    "spec": {"accessModes": modes, "resources": {"requests": {"storage": "1Gi"}}},
                }
            )
        self.cluster.apply(_preparation(claims))
        self.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/prepare", "--timeout=80s")
        self.kubectl("delete", "pod", "prepare")


def _offer_volumes(cluster: Cluster) -> None:
    """Have those emptied that earlier tests have left, where no provisioner does it and few are free."""
    phases = [v["status"].get("phase") for v in json.loads(kubectl("get", "pv", "-o", "json"))["items"]]
    if "Released" in phases and phases.count("Available") < 6 and CONTROL.exists():
        with cluster.faults() as faults:
            faults.up()


def _preparation(claims: Sequence[str]) -> dict[str, Any]:
    mounts = [{"name": c, "mountPath": f"/v/{c}"} for c in claims]
    container = {
        "name": "prepare",
        "image": f"{REGISTRY}/khantui-daemon:0.1.0",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "rm -rf /v/*/* && chown 1000:1000 /v/*"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": mounts,
    }
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "prepare"},
        "spec": {"restartPolicy": "Never", "containers": [container], "volumes": volumes},
    }


@contextmanager
def installed(overlay: str, name: str, folder: Path, members: int) -> Iterator[Installation]:
    """An installation for as long as this lasts."""
    with namespace(name) as cluster:
        installation = Installation(cluster, folder, overlay, members)
        installation.up()
        yield installation


def until(what: str, holds: Any, limit: float = 60) -> None:
    """Ask again and again until it holds."""
    end = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.2)
