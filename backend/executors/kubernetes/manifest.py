"""From an attempt to its Job. Pure.

The stage's image runs as it is: `fetch` (an init container) brings its inputs, `publish` takes its outputs away. On a
shared volume neither is needed. All of it passes the pod security standard `restricted`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.accounts.account import FOLDER
from backend.errors import ExecutorError
from backend.executors import environment
from backend.executors.base import AttemptSpec
from backend.executors.kubernetes import access, names
from backend.executors.kubernetes.gathering import folder, gathered
from backend.executors.kubernetes.settings import ObjectStorage, Settings, SharedVolume
from backend.layout import Layout
from backend.objects.plan import VARIABLE, Fetched, Plan
from backend.spec.images import IMAGES, Image, find, reference
from backend.spec.model import Placement
from backend.spec.quantity import show_cpu, show_memory

STAGE, FETCH, PUBLISH = "stage", "fetch", "publish"
CODE, IN, OUT, TMP = "/khan/code", "/khan/in", "/khan/out", "/tmp"  # noqa: S108  inside of the container
LONGEST_SCRIPT = 200_000  # bytes; an object's annotations may have 256 KiB
BACKSTOP = 120  # seconds beyond a stage's time-out after which the kubelet kills it, in case no daemon does

_CONFINED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
# as little as the helpers do with: they stream
_HELPER_RESOURCES = {"requests": {"cpu": "10m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}


def job(spec: AttemptSpec, settings: Settings, images: Mapping[str, Image] = IMAGES) -> dict[str, Any]:
    """The Job that runs an attempt. Raises ExecutorError for what can never run there."""
    key, placement = spec.key, spec.kubernetes
    marks = names.labels(key, spec.pipeline, settings.instance)
    marks[names.ACCOUNT] = names.label(spec.account)
    marks[names.NETWORK] = "none" if spec.account == "none" else "declared"
    exact = names.exact(key, spec.pipeline)
    pod_notes = {**placement.annotations, **exact}
    if spec.script:
        pod_notes[names.SCRIPT] = _script(spec)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.job_name(key),
            "labels": {**placement.labels, **marks},
            "annotations": {**placement.annotations, **exact},
        },
        "spec": {
            "backoffLimit": 0,  # retries are the controller's
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",  # or a pod that is being deleted had a second beside it
            "template": {
                "metadata": {"labels": {**placement.labels, **marks}, "annotations": pod_notes},
                "spec": _pod(spec, settings, images),
            },
        },
    }


def _pod(spec: AttemptSpec, settings: Settings, images: Mapping[str, Image]) -> dict[str, Any]:
    placement = spec.kubernetes
    where, image = image_of(spec.image, settings, images)
    script = f"/khan/script{image.suffix}"
    volumes, mounts = _volumes(spec, settings, script)
    stage: dict[str, Any] = {
        "name": STAGE,
        "image": where,
        "imagePullPolicy": placement.image_pull_policy or settings.pull_policy,
        "workingDir": CODE,
        "command": [_literal(word) for word in ([*image.interpreter, script] if spec.script else spec.argv)],
        "env": [*_environment(spec), *access.environment(spec.grant, settings, FOLDER)],
        "volumeMounts": mounts,
        "securityContext": _CONFINED,
        "resources": _resources(spec),
    }
    account = access.service_account_name(spec.account, spec.grant, settings)
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": settings.grace,
        "enableServiceLinks": False,
        "shareProcessNamespace": True,  # as process 1, a command would not die of signals that it does not handle
        "automountServiceAccountToken": access.has_token(spec.account, spec.grant),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes,
        "tolerations": _tolerations(placement, settings),
    }
    if account:
        pod["serviceAccountName"] = account
    if placement.node_selector:
        pod["nodeSelector"] = placement.node_selector
    if placement.priority_class:
        pod["priorityClassName"] = placement.priority_class
    if secrets := placement.image_pull_secrets or settings.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in secrets]
    if spec.timeout is not None:
        pod["activeDeadlineSeconds"] = int(spec.timeout) + settings.grace + BACKSTOP
    return pod | _containers(spec, stage, settings)


def _containers(spec: AttemptSpec, stage: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The stage's container, with those before and after it that have something to do: they run in turn."""
    if isinstance(settings.storage, SharedVolume):
        return {"containers": [stage]}
    before = [_helper(FETCH, spec, settings, settings.storage)] if spec.inputs or spec.code else []
    if not spec.outputs:
        return {"initContainers": before, "containers": [stage]}
    after = _helper(PUBLISH, spec, settings, settings.storage)
    return {"initContainers": [*before, stage], "containers": [after]}


def _helper(name: str, spec: AttemptSpec, settings: Settings, storage: ObjectStorage) -> dict[str, Any]:
    """A container of the stager: `fetch` or `publish`."""
    plan = Plan(
        store=storage.url,
        attempt=str(Layout(Path()).attempt(*spec.key)),
        inputs=tuple(Fetched(mount.place, mount.location, mount.kind, mount.sha256) for mount in spec.inputs),
        code=spec.code,
        outputs=spec.outputs,
    )
    mounts: list[dict[str, Any]]
    if name == FETCH:
        mounts = [{"name": "in", "mountPath": IN}, {"name": "code", "mountPath": CODE}]
    else:
        mounts = [{"name": "out", "mountPath": OUT, "readOnly": True}]
    helper: dict[str, Any] = {
        "name": name,
        "image": storage.stager,
        "imagePullPolicy": settings.pull_policy,
        "args": [name],
        "env": [{"name": VARIABLE, "value": _literal(plan.pack())}],
        "volumeMounts": [{"name": "moving", "mountPath": TMP}, *mounts],
        "securityContext": _CONFINED,
        "resources": _HELPER_RESOURCES,
    }
    if storage.secret:
        helper["envFrom"] = [{"secretRef": {"name": storage.secret}}]
    return helper


def image_of(name: str, settings: Settings, images: Mapping[str, Image]) -> tuple[str, Image]:
    """A stage's image for the cluster, and what is known of it. Raises ExecutorError."""
    image = find(name, images)
    if image is None:
        raise ExecutorError(f"image {name!r} is not known here", hint=f"{', '.join(images)}, or any of a registry")
    where = reference(image, settings.registry, settings.version)
    if not where:
        raise ExecutorError(f"there is no container image for {name!r}: it runs in the sandbox alone")
    return where, image


def _script(spec: AttemptSpec) -> str:
    if len(spec.script.encode()) > LONGEST_SCRIPT:
        raise ExecutorError(
            f"a script of more than {LONGEST_SCRIPT:,} bytes is too long for Kubernetes",
            hint="put it into a file that `code` lists, and run that",
        )
    return spec.script


def _environment(spec: AttemptSpec) -> list[dict[str, str]]:
    variables = environment.variables(spec, inputs=IN, outputs=OUT, tmp=TMP)
    environment.check([*spec.argv, *(f"{name}={value}" for name, value in variables.items())])
    return [{"name": name, "value": _literal(value)} for name, value in variables.items()]


def _literal(text: str) -> str:
    """Kubernetes fills in $(NAME) in commands and variables; doubled, a dollar is one."""
    return text.replace("$", "$$")


def _resources(spec: AttemptSpec) -> dict[str, Any]:
    """Memory and devices are limits, and so held ready; of cpu it may have more where the node has some left."""
    limits: dict[str, Any] = {name: str(count) for name, count in spec.kubernetes.devices.items()}
    requests: dict[str, Any] = {}
    if spec.resources.memory is not None:
        limits["memory"] = show_memory(spec.resources.memory)
    if spec.kubernetes.ephemeral_storage is not None:
        limits["ephemeral-storage"] = show_memory(spec.kubernetes.ephemeral_storage)
    if spec.resources.cpu is not None:
        requests["cpu"] = show_cpu(spec.resources.cpu)
    return {"limits": limits, "requests": {**limits, **requests}}


def _tolerations(placement: Placement, settings: Settings) -> list[dict[str, Any]]:
    """The stage's own, and how long a node may be away."""
    given: list[dict[str, Any]] = []
    for toleration in placement.tolerations:
        each: dict[str, Any] = {"operator": toleration.operator}
        each |= {k: v for k in ("key", "value", "effect") if (v := getattr(toleration, k))}
        if toleration.seconds is not None:
            each["tolerationSeconds"] = int(toleration.seconds)
        given.append(each)
    away = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": int(settings.node_wait)}
    return [*given, *({"key": f"node.kubernetes.io/{why}", **away} for why in ("not-ready", "unreachable"))]


def _volumes(spec: AttemptSpec, settings: Settings, script: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pod's volumes, and the stage's mounts of them."""
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": TMP}]
    if spec.script:
        name = script.rpartition("/")[2]
        item = {"path": name, "fieldRef": {"fieldPath": f"metadata.annotations['{names.SCRIPT}']"}}
        volumes.append({"name": "script", "downwardAPI": {"items": [item]}})
        mounts.append({"name": "script", "mountPath": script, "subPath": name, "readOnly": True})
    if isinstance(settings.storage, ObjectStorage):
        volumes += [{"name": name, "emptyDir": {}} for name in ("in", "code", "out", "moving")]
        mounts += [{"name": name, "mountPath": where, "readOnly": True} for name, where in (("in", IN), ("code", CODE))]
        mounts.append({"name": "out", "mountPath": OUT})
    else:
        if not spec.code:
            volumes.append({"name": "code", "emptyDir": {}})
            mounts.append({"name": "code", "mountPath": CODE, "readOnly": True})
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": settings.storage.claim}})
        mounts += _shared(spec, settings.storage)
    if secrets := access.files(spec.grant, settings):
        volumes.append(secrets)
        mounts.append({"name": "secrets", "mountPath": FOLDER, "readOnly": True})
    return volumes, mounts


def _shared(spec: AttemptSpec, volume: SharedVolume) -> list[dict[str, Any]]:
    """Parts of the shared volume, each where the stage is to see it."""
    layout = Layout(Path(volume.folder.strip("/")))  # as seen from the volume's root

    def part(path: Path, where: str, *, read_only: bool = True) -> dict[str, Any]:
        return {"name": "data", "subPath": str(path), "mountPath": where, "readOnly": read_only}

    many = gathered(spec)
    mounts = [
        part(layout.artifact(mount.location), f"{IN}/{mount.place}") for mount in spec.inputs if mount.name not in many
    ]
    mounts += [part(folder(layout, spec, name), f"{IN}/{name}") for name in sorted(many)]
    if spec.code:
        mounts.append(part(layout.bundle(spec.code), CODE))
    return [*mounts, part(layout.attempt(*spec.key) / "out", OUT, read_only=False)]
