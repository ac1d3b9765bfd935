"""What a cluster lacks for stages to run there, and what to do about it: printed as JSON, for `khantui doctor`.

Each check really asks the cluster. Where it may not be asked, that is said, and is no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import secrets
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import Struct

from backend import cluster_access
from backend.cluster_access import ClusterAccess
from backend.errors import ClusterError, ClusterForbidden, ObjectMissing
from backend.kube import CRONJOBS, JOBS, NODES, PODS, Connection, Kube, Object, Resource, connect, context_of
from backend.kube.rights import RIGHTS
from backend.spec.images import IMAGES, reference

OLDEST = (1, 27)  # the first in which a CronJob's time zone is there for good
PATIENCE = 120.0  # seconds for a pod that is tried
REVIEWS = Resource("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)
VERSION = Resource("", "/version", namespaced=False)
NAMESPACES = Resource("/api/v1", "namespaces", namespaced=False)
CLASSES = Resource("/apis/storage.k8s.io/v1", "storageclasses", namespaced=False)
CLAIMS = Resource("/api/v1", "persistentvolumeclaims")
METRICS = Resource("/apis", "metrics.k8s.io", namespaced=False)
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
ENFORCED = "pod-security.kubernetes.io/enforce"


class Finding(Struct, frozen=True):
    """One thing that was looked at, as `khantui doctor` shows it."""

    name: str
    state: str  # ok, note (one can do without it), missing
    found: str
    advice: str = ""
    essential: bool = False


class Version(Object, frozen=True, rename="camel"):
    """What the API server says of itself."""

    git_version: str = ""


class Review(Object, frozen=True):
    """Whether we may do something."""

    status: dict[str, Any] = msgspec.field(default_factory=dict)


class Spec(Object, frozen=True):
    """Any object with its specification and state."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `doctor` takes."""
    cluster_access.add_arguments(parser)
    parser.add_argument("--try", dest="tried", action="store_true", help="run a pod of an image, and delete it")


def main(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Print a finding a line."""
    asyncio.run(_main(cluster_access.read(parser, given), given.tried))


async def _main(access: ClusterAccess, tried: bool) -> None:
    async for finding in findings(access, tried):
        sys.stdout.buffer.write(msgspec.json.encode(finding) + b"\n")
        sys.stdout.buffer.flush()


async def findings(access: ClusterAccess, tried: bool) -> AsyncIterator[Finding]:
    """Everything that is found, in the order in which it matters."""
    try:
        kube = await connect(Connection(access.kubeconfig, access.context, access.namespace))
    except ClusterError as error:
        yield Finding("cluster", "missing", error.message, error.hint, True)
        return
    try:
        version = await _version(kube, await context_of(access.kubeconfig, access.context))
        yield version
        if version.state == "missing":
            return
        doctor = Doctor(kube, access)
        for check in (doctor.namespace, doctor.rights, doctor.cronjobs, doctor.storage, doctor.images, doctor.metrics):
            try:
                yield await check()
            except ClusterForbidden as error:
                yield Finding(check.__name__, "note", f"it is not known: {error.message}")
            except ClusterError as error:
                yield Finding(check.__name__, "missing", error.message, error.hint)
        if tried:
            yield await doctor.pod()
    finally:
        await kube.close()


async def _version(kube: Kube, context: str) -> Finding:
    """Whether the cluster answers, and is new enough."""
    try:
        said = (await kube.get(VERSION, "", Version)).git_version
    except ClusterError as error:
        return Finding("cluster", "missing", error.message, error.hint, True)
    where = f"context {context}" if context else "this pod's own cluster"
    found = f"Kubernetes {said.removeprefix('v')} at {kube.server} ({where}), namespace {kube.namespace}"
    numbers = re.match(r"v?(\d+)\.(\d+)", said)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return Finding("cluster", "missing", found, f"{wanted} or newer is needed: time zones of CronJobs", True)
    return Finding("cluster", "ok", found, essential=True)


class Doctor:
    """The checks of one namespace."""

    def __init__(self, kube: Kube, access: ClusterAccess) -> None:
        self._kube = kube
        self._access = access

    async def namespace(self) -> Finding:
        """Whether it is there, and how strict it is with pods."""
        name = self._kube.namespace
        try:
            labels = (await self._kube.get(NAMESPACES, name, Spec)).metadata.labels
        except ObjectMissing:
            return Finding(
                "namespace", "missing", f"there is no namespace {name}", f"kubectl create namespace {name}", True
            )
        level = labels.get(ENFORCED, "")
        said = f"pods must be {level!r}, as those of stages are" if level else "pods of any kind are let in"
        advice = "" if level else f"kubectl label namespace {name} {ENFORCED}=restricted keeps other pods out"
        return Finding("namespace", "ok" if level else "note", f"{name}: {said}", advice)

    async def rights(self) -> Finding:
        """Whether the daemon may do all that it does, as whom we are here."""
        asked = [(right, verb) for right in RIGHTS for verb in right.verbs]
        allowed = await asyncio.gather(*(self._may(r.group, r.resource, verb) for r, verb in asked))
        denied: dict[str, list[str]] = {}
        for (right, verb), yes in zip(asked, allowed, strict=True):
            if not yes:
                denied.setdefault(right.resource, []).append(verb)
        if not denied:
            return Finding("rights", "ok", f"all {len(asked)} that the daemon needs", essential=True)
        said = "; ".join(f"{', '.join(verbs)} {resource}" for resource, verbs in denied.items())
        advice = "bind the Role khantui-controller of deploy/base/controller.yaml to this account"
        return Finding("rights", "missing", f"it is not allowed to {said}", advice, True)

    async def _may(self, group: str, resource: str, verb: str) -> bool:
        name, _, part = resource.partition("/")
        attributes = {
            "namespace": self._kube.namespace,
            "verb": verb,
            "group": group,
            "resource": name,
            "subresource": part,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": attributes},
        }
        return bool((await self._kube.create(REVIEWS, review, Review)).status.get("allowed"))

    async def cronjobs(self) -> Finding:
        """Whether a schedule with a time zone would be taken; nothing is made."""
        job = {"suspend": True, "template": {"spec": pod_spec("none", [])}}
        manifest = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": _name()},
            "spec": {"schedule": "0 6 * * *", "timeZone": "Europe/Berlin", "jobTemplate": {"spec": job}},
        }
        try:
            made = await self._kube.create(CRONJOBS, manifest, Spec, dry=True)
        except ClusterForbidden:
            raise
        except ClusterError as error:
            return Finding("cronjobs", "missing", error.message, "schedules need CronJobs with a time zone", True)
        if made.spec.get("timeZone") != "Europe/Berlin":
            return Finding("cronjobs", "missing", "CronJobs lose their time zone", "a newer Kubernetes is needed", True)
        return Finding("cronjobs", "ok", "CronJobs take a time zone")

    async def storage(self) -> Finding:
        """Whether the volume of artifacts is there; without one, what classes there are."""
        if self._access.volume:
            return await self._claim(self._access.volume.partition("/")[0])
        classes = await self._kube.all(CLASSES, Spec)
        default = [c.metadata.name for c in classes if c.metadata.annotations.get(DEFAULT_CLASS) == "true"]
        if default:
            return Finding("storage", "ok", f"the default class of volumes is {', '.join(default)}")
        names = ", ".join(c.metadata.name for c in classes) or "none"
        advice = "name a class in the claims of deploy/, or keep artifacts in an object store (--artifacts URL)"
        return Finding("storage", "note", f"there is no default class of volumes; there are: {names}", advice)

    async def _claim(self, name: str) -> Finding:
        try:
            claim = await self._kube.get(CLAIMS, name, Spec)
        except ObjectMissing:
            return Finding(
                "storage", "missing", f"there is no PersistentVolumeClaim {name}", "make it, see deploy/", True
            )
        phase, modes = (
            claim.status.get("phase", ""),
            claim.status.get("accessModes") or claim.spec.get("accessModes", []),
        )
        if phase == "Lost":
            return Finding("storage", "missing", f"the volume of {name} is lost", "restore it", True)
        if "ReadWriteMany" not in modes:
            said = f"{name} can be mounted on one node alone ({', '.join(modes)})"
            return Finding("storage", "note", said, "with several nodes it must be ReadWriteMany")
        return Finding("storage", "ok", f"{name} is {phase or 'there'}, for any node")

    async def images(self) -> Finding:
        """Which of the project's images the nodes hold already; whether others can be had only --try tells."""
        from backend import __version__

        wanted = {
            f"{self._access.registry}/khantui-{i.container}:{__version__}" for i in IMAGES.values() if i.container
        }
        held: set[str] = set()
        for node in await self._kube.all(NODES, Spec):
            for image in node.status.get("images", []):
                held.update(image.get("names") or [])
        lacking = sorted(name.rpartition("/")[2] for name in wanted - held)
        if not lacking:
            return Finding("images", "ok", f"all {len(wanted)} are on a node")
        said = f"{', '.join(lacking)} must be fetched from {self._access.registry}"
        return Finding("images", "note", said, "`khantui doctor --try` fetches one; --registry names another place")

    async def metrics(self) -> Finding:
        """Whether there is a metrics server: nothing needs it, and people miss it."""
        try:
            await self._kube.get(METRICS, "", Object)
        except ObjectMissing:
            return Finding("metrics", "note", "there is no metrics server", "`kubectl top` needs one; khantui does not")
        return Finding("metrics", "ok", "there is a metrics server")

    async def pod(self) -> Finding:
        """Run a Job as stages run, wait for it, delete it."""
        from backend import __version__

        image, name = reference(IMAGES["shell"], self._access.registry, __version__), _name()
        spec = pod_spec(image, ["true"], self._access.pull_policy, self._access.pull_secrets)
        labels = {"app.kubernetes.io/name": "khantui-doctor"}
        job = {"backoffLimit": 0, "ttlSecondsAfterFinished": 60, "activeDeadlineSeconds": int(PATIENCE)}
        template = {"metadata": {"labels": labels | {"khantui.dev/doctor": name}}, "spec": spec}
        manifest = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": labels},
            "spec": job | {"template": template},
        }
        try:
            await self._kube.create(JOBS, manifest, Spec)
            try:
                return await self._await_pod(name, image)
            finally:
                await self._kube.delete(JOBS, name, grace=0)
        except ClusterError as error:
            return Finding("pod", "missing", error.message, error.hint, True)

    async def _await_pod(self, name: str, image: str) -> Finding:
        end, said = asyncio.get_running_loop().time() + PATIENCE, "no pod was made of its Job"
        while asyncio.get_running_loop().time() < end:
            job = await self._kube.get(JOBS, name, Spec)
            if job.status.get("succeeded"):
                return Finding("pod", "ok", f"a pod of {image} was scheduled, fetched and run", essential=True)
            for pod in await self._kube.all(PODS, Spec, {"labelSelector": f"khantui.dev/doctor={name}"}):
                said = _trouble(pod) or said
                if "image" in said.lower() and "backoff" in said.lower():
                    return Finding("pod", "missing", said, "name a registry that the nodes reach: --registry", True)
            if job.status.get("failed"):
                break
            await asyncio.sleep(0.5)
        return Finding("pod", "missing", said, f"kubectl -n {self._kube.namespace} get events", True)


def pod_spec(image: str, command: list[str], policy: str = "IfNotPresent", secrets: tuple[str, ...] = ()) -> Any:
    """A pod as strict as those of stages."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "imagePullSecrets": [{"name": s} for s in secrets],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "stage",
                "image": image,
                "imagePullPolicy": policy,
                "command": command,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            }
        ],
    }


def _trouble(pod: Spec) -> str:
    """What keeps a pod from running, in the cluster's words."""
    for condition in pod.status.get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message", "it is not scheduled"))
    for container in pod.status.get("containerStatuses", []):
        for state in container.get("state", {}).values():
            if reason := state.get("reason", ""):
                return f"{reason}: {state.get('message', '')}".strip(": ")
    return ""


def _name() -> str:
    return f"khantui-doctor-{secrets.token_hex(4)}"
