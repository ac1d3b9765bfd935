"""Why a pod does not start, or ended, for people: what Kubernetes says, in fewer words and with what to do."""

from __future__ import annotations

import re

from backend.executors.kubernetes.objects import Event, Pod
from backend.run import words
from backend.run.state import Reason
from backend.spec.quantity import show_memory

_LONGEST = 300  # characters of what Kubernetes says itself
_PULL = frozenset((
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
    "RegistryUnavailable", "SignatureValidationFailed",
))  # fmt: skip
_CREDENTIALS = ("unauthorized", "authentication required", "forbidden", "denied", "no basic auth")
_AWAY = ("no such host", "dial tcp", "timeout", "connection refused", "tls:", "x509", "EOF")
_DISRUPTIONS = {
    "PreemptionByScheduler": (Reason.EVICTED, "evicted: pods of a higher priority needed the room"),
    "DeletionByTaintManager": (Reason.NODE_LOST, "its node was lost, or its pods were told to go"),
    "EvictionByEvictionAPI": (Reason.EVICTED, "evicted: its node is being emptied"),
    "DeletionByPodGC": (Reason.NODE_LOST, "its node is not there any more"),
    "TerminationByKubelet": (Reason.EVICTED, "evicted by its node"),
}
_WAITED = {"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady"}
_NODES = re.compile(r"(?P<count>\d+) (?P<why>.+)")
_TAINT = re.compile(r"node\(s\) had untolerated taint(?:\(s\)| )?\{?(?P<taint>[^}]*)\}?")
_MISSING = re.compile(r"(?P<kind>serviceaccount|secret|configmap|persistentvolumeclaim) \"(?P<name>[^\"]+)\" not found")
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<requested>.+), used: (?P<used>.+), limited: (?P<limited>.+)"
)
_KINDS = {
    "serviceaccount": "ServiceAccount",
    "secret": "Secret",
    "configmap": "ConfigMap",
    "persistentvolumeclaim": "PersistentVolumeClaim",
}


def unschedulable(said: str, needs: dict[str, float], most: dict[str, float]) -> str:
    """Why no node takes it: `needs` is what it asks for, `most` the most that any node has (empty: not known).

    The scheduler says e.g. `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node
    affinity/selector. preemption: …`
    """
    _, _, whole = said.partition("nodes are available: ")
    reasons = (whole or said).partition(" preemption:")[0].removesuffix(" no new claims to deallocate,")
    if missing := _missing(reasons):
        return f"it cannot be placed: {missing}"
    parts = []
    for reason in re.split(r", (?=\d+ )", reasons.rstrip(". ")):
        found = _NODES.fullmatch(reason.strip())
        parts.append(_unplaced(found["why"], needs, most) if found else reason.strip())
    return f"waits for a node with room: {'; '.join(dict.fromkeys(filter(None, parts)))}"


def _unplaced(why: str, needs: dict[str, float], most: dict[str, float]) -> str:
    if why.startswith("Insufficient "):
        resource = why.removeprefix("Insufficient ")
        return _insufficient(resource, needs.get(resource), most.get(resource, 0.0) if most else None)
    if why.startswith("Too many pods"):
        return "there are as many pods as nodes take"
    if "node affinity/selector" in why:
        return "no node that is free has the labels of its node_selector"
    if found := _TAINT.fullmatch(why):
        return f"nodes have the taint {found['taint'].strip(': ')}, which it does not tolerate"
    if "were unschedulable" in why:
        return "nodes are closed to new pods (cordoned)"
    return why.replace("node(s) ", "nodes ")


def _insufficient(resource: str, need: float | None, most: float | None) -> str:
    if need is None:
        return f"not enough {resource}"
    text = f"not enough {resource}: it needs {amount(resource, need)}"
    if most is None:
        return text
    if need > most:
        has = f"the largest node has {amount(resource, most)}" if most else "no node has any"
        return f"{text}, and {has}: {amount(resource, need - most)} too little"
    return f"{text}, and what nodes have of it (at most {amount(resource, most)}) is in use"


def amount(resource: str, value: float) -> str:
    """An amount of a resource: `500m` and `512Mi` as people write them."""
    if resource in ("memory", "ephemeral-storage"):
        for unit, power in (("Gi", 3), ("Mi", 2)):
            if value >= 1024**power:
                return f"{value / 1024**power:.3g}{unit}"
        return show_memory(int(value))
    return f"{value:g}"


def image(reason: str, said: str, name: str) -> str:
    """Why an image cannot be had; empty if that is not what is wrong."""
    if reason not in _PULL:
        return ""
    if reason == "InvalidImageName":
        return f"{name!r} cannot be the name of an image"
    if reason == "ErrImageNeverPull":
        return f"the image {name} is not on the node, and must not be pulled (image_pull_policy: Never)"
    why = _root(said)
    if any(word in said.lower() for word in _CREDENTIALS):
        return f"the image {name} is not given to us: its registry wants credentials (image_pull_secrets), or {why}"
    if "not found" in said or "manifest unknown" in said:
        return f"the image {name} does not exist: {why}"
    if any(word in said for word in _AWAY):
        return f"the image {name} cannot be pulled: its registry is not reached ({why})"
    return f"the image {name} cannot be pulled: {why}"


def creation(reason: str, said: str) -> str:
    """Why a container cannot be made."""
    return f"its container cannot be made: {_missing(said) or _short(said) or reason}"


def not_started(said: str) -> str:
    """Why a container's command could not be started."""
    if found := re.search(r'exec: "(?P<program>[^"]*)": (?P<why>.*?)(?:: unknown)?$', said):
        if "not found" in found["why"] or "no such file or directory" in found["why"]:
            return f"command not found: {found['program']}"
        return f"cannot run {found['program']}: {found['why']}"
    if found := re.search(r"exec (?P<program>\S+): no such file or directory", said):
        return f"command not found: {found['program']}"
    return f"its container could not be started: {_root(said)}"


def trouble(event: Event) -> str:
    """What a warning says about a pod that has not started; empty if it says nothing of that."""
    if event.reason not in _WAITED:
        return ""
    if missing := _missing(event.message):
        return f"its container cannot be made: {missing}"
    return f"its container cannot be made: {event.reason}: {_short(event.message)}"


def quota(said: str) -> str:
    """Which quota is used up; empty if that is not why a pod may not be made."""
    found = _QUOTA.search(said)
    if found is None:
        return "" if "exceeded quota" not in said else f"waits for room in a quota: {_short(said)}"
    requested, used, limited = (_amounts(found[name]) for name in ("requested", "used", "limited"))
    parts = [
        f"{r}: {used.get(r, '0')} of {limited[r]} in use, {n} more asked for"
        for r, n in requested.items()
        if r in limited
    ]
    return f"waits for room in the quota {found['name']} ({'; '.join(parts) or _short(said)})"


def refused(said: str) -> tuple[bool, str]:
    """Why the cluster makes no pod; whether that is because something is missing that may come."""
    why = re.sub(r'^(Error creating: )?pods "[^"]*" is forbidden: ', "", said)
    if missing := _missing(why):
        return True, f"its pod cannot be made: {missing}"
    if found := re.search(r"no PriorityClass with name (\S+) was found", why):
        return True, f"its pod cannot be made: there is no PriorityClass {found[1]}"
    if found := re.match(r'violates PodSecurity "([^"]*)": (.*)', why, re.DOTALL):
        return False, f"the namespace's pod security ({found[1]}) forbids it: {_short(found[2])}"
    if re.match(r"(maximum|minimum) \S+ usage per", why) or "limit range" in why.lower():
        return False, f"the namespace's LimitRange forbids it: {_short(why)}"
    return False, f"the cluster refuses its pod: {_short(why)}"


def gone(pod: Pod) -> tuple[Reason, str]:
    """Why a pod was ended or deleted from outside."""
    status = pod.status
    if status.reason == "Evicted":
        return Reason.EVICTED, f"evicted: {_short(status.message)}"
    if status.reason in ("NodeLost", "NodeShutdown", "Terminated", "Shutdown"):
        return Reason.NODE_LOST, f"its node {pod.spec.node_name} was lost: {_short(status.message) or status.reason}"
    disruption = pod.condition("DisruptionTarget")
    if disruption is not None and disruption.status == "True":
        reason, message = _DISRUPTIONS.get(disruption.reason, (Reason.EVICTED, f"evicted: {disruption.reason}"))
        node = f" ({pod.spec.node_name})" if reason is Reason.NODE_LOST and pod.spec.node_name else ""
        return reason, f"{message}{node}"
    if status.reason and not pod.metadata.deletion_timestamp:
        return Reason.START, f"{status.reason}: {_short(status.message)}"
    return Reason.DELETED, "somebody deleted its pod"


def vanished(pod: Pod) -> str:
    """A container that its node cannot find any more."""
    return f"its container vanished from its node {pod.spec.node_name}, which was perhaps restarted"


def rejected(pod: Pod) -> tuple[Reason, str]:
    """Why a pod has ended without having run its command."""
    if pod.status.reason.startswith("OutOf") or pod.status.reason in ("NodeAffinity", "UnexpectedAdmissionError"):
        return Reason.START, f"its node {pod.spec.node_name} did not take it: {_short(pod.status.message)}"
    if pod.status.reason or pod.condition("DisruptionTarget"):
        return gone(pod)
    return Reason.START, f"its pod ended before its command began {_short(pod.status.message)}".strip()


def out_of_memory(limit: int | None) -> str:
    """It took more memory than it may, or than there was."""
    if limit is None:
        return "killed: the node ran out of memory"
    return f"killed: memory limit {show_memory(limit)}"


def too_long(limit: float | None) -> str:
    """It ran into the time-out that its pod has."""
    return f"killed: took longer than {words.duration(limit)}"


def _missing(said: str) -> str:
    found = _MISSING.search(said)
    return f"there is no {_KINDS[found['kind']]} {found['name']}" if found else ""


def _amounts(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.strip().split(",") if "=" in part)


def _root(said: str) -> str:
    """The last of the errors that wrap one another."""
    parts = [part for part in said.split(": ") if part and part != "unknown"]
    return _short(": ".join(parts[-2:]) if len(parts) > 1 and len(parts[-1]) < 30 else parts[-1] if parts else said)


def _short(said: str) -> str:
    said = " ".join(said.split()).rstrip(". ")
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
