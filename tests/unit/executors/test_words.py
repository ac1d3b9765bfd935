"""What Kubernetes says, as it says it, and what people are told. The statuses are those of real clusters."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from backend.executors.kubernetes import words
from backend.executors.kubernetes.objects import Event, Job, Pod, PodStatus
from backend.executors.kubernetes.reading import Ended, Facts, Need, Runs, Unknown, Waits, read
from backend.run.state import Reason

PREEMPTION = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful."
STAGE = {"name": "stage", "image": "x:1"}


def pod(state: dict[str, Any] | None = None, *, helper: str = "", **status: Any) -> Pod:
    """A pod with a stage in this state."""
    statuses = [{**STAGE, "state": state}] if state else []
    meta = {"uid": "u", "name": "j-abcde", **status.pop("meta", {})}
    raw = {"metadata": meta, "spec": {"nodeName": "n1"}, "status": {"containerStatuses": statuses, **status}}
    if helper:
        raw["status"]["initContainerStatuses"] = raw["status"].pop("containerStatuses")
        raw["status"]["containerStatuses"] = [
            {"name": "publish", "state": {"terminated": {"exitCode": 1, "message": helper}}}
        ]
    return msgspec.convert(raw, Pod, strict=False)


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def condition(kind: str, status: str, reason: str, message: str = "") -> list[dict[str, str]]:
    return [{"type": kind, "status": status, "reason": reason, "message": message}]


RUNC = "failed to create containerd task: OCI runtime create failed: unable to start container process: "


@pytest.mark.parametrize(
    ("seen", "reason", "message"),
    [
        (pod(ended(0, "Completed"), phase="Succeeded"), Reason.OK, ""),
        (pod(ended(3), phase="Failed"), Reason.EXIT, "exit 3"),
        (pod(ended(137, "OOMKilled"), phase="Failed"), Reason.MEMORY, "killed: memory limit 64Mi"),
        (pod(ended(128, "StartError", RUNC + 'exec: "nope": executable file not found in $PATH: unknown')),
         Reason.START, "command not found: nope"),
        (pod(ended(128, "StartError", RUNC + 'exec: "/a": permission denied: unknown')), Reason.START,
         "cannot run /a: permission denied"),
        (pod(ended(137), phase="Failed", reason="DeadlineExceeded"), Reason.TIMEOUT, "killed: took longer than 60 s"),
        (pod(ended(137), phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
         Reason.EVICTED, "evicted: The node was low on resource: memory"),
        (pod(phase="Failed", reason="Evicted", message="The node had condition: [DiskPressure]. "),
         Reason.EVICTED, "evicted: The node had condition: [DiskPressure]"),
        (pod(ended(143), conditions=condition("DisruptionTarget", "True", "PreemptionByScheduler")),
         Reason.EVICTED, "evicted: pods of a higher priority needed the room"),
        (pod(ended(137, "ContainerStatusUnknown")), Reason.NODE_LOST,
         "its container vanished from its node n1, which was perhaps restarted"),
        (pod(ended(143), meta={"deletionTimestamp": "2026-03-01T00:00:00Z"}), Reason.DELETED,
         "somebody deleted its Job"),
        (pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu"), Reason.START,
         "its node n1 did not take it: Node didn't have enough resource: cpu"),
        (pod(ended(0), helper='{"reason": "missing-output", "message": "the output \'x\' is missing"}'),
         Reason.MISSING_OUTPUT, "the output 'x' is missing"),
        (pod(ended(0), helper="Traceback: what"), Reason.PUBLISH,
         "the outputs could not be published: exit 1 Traceback: what"),
    ],
)  # fmt: skip
def test_ends(seen: Pod, reason: Reason, message: str) -> None:
    found = read(Facts(None, seen, gone=False, memory=64 << 20, timeout=60.0))
    assert isinstance(found, Ended)
    assert (found.reason, found.message) == (reason, message)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector. "
         + PREEMPTION,
         "not enough cpu: it needs 4, and the largest node has 2: 2 too little; "
         "no node that is free has the labels of its node_selector"),
        (f"0/1 nodes are available: 1 Insufficient memory. {PREEMPTION}",
         "not enough memory: it needs 1Gi, and what nodes have of it (at most 2Gi) is in use"),
        (f"0/1 nodes are available: 1 node(s) had untolerated taint {{gpu: true}}. {PREEMPTION}",
         "nodes have the taint gpu: true, which it does not tolerate"),
        (f"0/1 nodes are available: 1 Too many pods. {PREEMPTION}", "there are as many pods as nodes take"),
        ("0/2 nodes are available: 2 node(s) were unschedulable.", "nodes are closed to new pods (cordoned)"),
        ("no nodes available to schedule pods", "no nodes available to schedule pods"),
    ],
)  # fmt: skip
def test_no_room(said: str, message: str) -> None:
    needs, most = {"cpu": 4.0, "memory": float(1 << 30)}, {"cpu": 2.0, "memory": float(2 << 30)}
    assert words.unschedulable(said, needs, most) == f"waits for a node with room: {message}"


def test_how_much_is_missing_is_not_said_where_it_is_not_known() -> None:
    said = words.unschedulable("0/1 nodes are available: 1 Insufficient cpu.", {"cpu": 4.0}, {})
    assert said == "waits for a node with room: not enough cpu: it needs 4"


def test_before_there_is_a_pod() -> None:
    assert read(Facts(Job(), None, gone=False)) == Waits()
    refused = 'Error creating: pods "j-x" is forbidden: '
    quota = "exceeded quota: q, requested: memory=1Gi,pods=1, used: memory=7Gi,pods=3, limited: memory=8Gi,pods=3"
    found = read(Facts(Job(), None, gone=False, warnings=(Event(reason="FailedCreate", message=refused + quota),)))
    assert isinstance(found, Waits)
    assert (found.need, found.reason) == (Need.ROOM, Reason.QUOTA)
    assert found.message == (
        "waits for room in the quota q (memory: 7Gi of 8Gi in use, 1Gi more asked for; "
        "pods: 3 of 3 in use, 1 more asked for)"
    )
    hook = 'admission webhook "policy.example.org" denied the request: no owner label'
    found = read(Facts(Job(), None, gone=False, warnings=(Event(reason="FailedCreate", message=hook),)))
    assert isinstance(found, Waits)
    assert (found.need, found.message) == (Need.HOPELESS, f"the cluster refuses its pod: {hook}")


def test_a_job_that_has_ended_without_a_pod() -> None:
    raw = {"status": {"conditions": condition("Failed", "True", "BackoffLimitExceeded")}}
    assert read(Facts(msgspec.convert(raw, Job), None, gone=False)) == Unknown("BackoffLimitExceeded")


def test_while_outputs_are_published_it_still_runs() -> None:
    before = [{**STAGE, "state": ended(0)}]
    after = [{"name": "publish", "state": {"running": {}}}]
    seen = pod(initContainerStatuses=before)
    after_it = msgspec.convert({"initContainerStatuses": before, "containerStatuses": after}, PodStatus)
    assert read(Facts(None, msgspec.structs.replace(seen, status=after_it), gone=False)) == Runs(None)
