"""A schedule as Kubernetes' CronJobs. Pure.

A CronJob's Jobs are suspended: they are ticks that wait in the cluster until the daemon has taken them up, and no pod
is ever made of them. Who resumes one by hand gets a pod that does nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from backend.errors import KhanError
from backend.executors.kubernetes.names import DOMAIN, INSTANCE, MANAGED_BY, label
from backend.kube import Object
from backend.schedule.cron import kubernetes_form, parse_cron
from backend.schedule.model import Schedule

SCHEDULE = f"{DOMAIN}/schedule"
FORM = f"{DOMAIN}/form"  # annotation: a hash of the CronJob as we wrote it
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"  # annotation of its Jobs: the tick
_LONGEST = 34  # characters of the schedule's name in the CronJob's, which has 52 at most
_KEPT = 100  # ended Jobs that Kubernetes keeps: more than anybody resumes by hand before they are taken up


class Owned(Object, frozen=True):
    """Something that belongs to a schedule."""

    @property
    def schedule(self) -> str:
        """The schedule's name; empty if it does not say."""
        return self.metadata.annotations.get(SCHEDULE, "")


class CronJob(Owned, frozen=True):
    """What is read of a CronJob: all that it was told."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)


class Tick(Owned, frozen=True):
    """What is read of a CronJob's Job: whose it is, and when it is for."""

    @property
    def moment(self) -> datetime | None:
        """The moment of the tick; None for a Job that no CronJob made by itself."""
        try:
            moment = datetime.fromisoformat(self.metadata.annotations[SCHEDULED])
        except (KeyError, ValueError):
            return None
        return moment.astimezone(UTC) if moment.tzinfo else None


class Wanted(Struct, frozen=True):
    """A CronJob as it should be."""

    name: str
    form: str
    manifest: dict[str, Any]

    @property
    def marks(self) -> dict[str, dict[str, str]]:
        """Its labels and annotations."""
        metadata = self.manifest["metadata"]
        return {"labels": metadata["labels"], "annotations": metadata["annotations"]}


def selector(instance: str) -> str:
    """The label selector of all CronJobs and ticks of this Khantui."""
    return f"{MANAGED_BY}=khantui,{INSTANCE}={instance},{SCHEDULE}"


def wanted(schedule: Schedule, instance: str, image: str) -> list[Wanted]:
    """The CronJobs of a schedule, one for each expression; none where Kubernetes cannot keep its time.

    That is so for what fires at seconds, by spans or after others, for what will never fire again, and for expressions
    that cannot be read any more.
    """
    return [
        _cron_job(schedule, number, expression, instance, image)
        for number, expression in enumerate(() if schedule.done else expressions(schedule))
    ]


def expressions(schedule: Schedule) -> tuple[str, ...]:
    """A schedule's times as Kubernetes writes them; none if it cannot, or not all of them."""
    if schedule.kind == "once" and schedule.at is not None:
        at = schedule.at.astimezone(UTC)
        # a CronJob fires at whole minutes, every year: the first one that is not too early, and then it is removed
        minute = at.replace(second=0, microsecond=0) + timedelta(minutes=1 if at.second or at.microsecond else 0)
        return (f"{minute.minute} {minute.hour} {minute.day} {minute.month} *",)
    if schedule.kind != "cron":
        return ()
    try:
        forms = [kubernetes_form(parse_cron(expression)) for expression in schedule.cron]
    except KhanError:
        return ()
    found = tuple(form for form in forms if form is not None)
    return found if len(found) == len(forms) else ()


def changes(wanted: Wanted, found: CronJob) -> list[str]:
    """In what the CronJob that was found is not as it should be: the fields' paths."""
    there = {"labels": found.metadata.labels, "annotations": found.metadata.annotations}
    return _differences(wanted.marks, there, "") + _differences(wanted.manifest["spec"], found.spec, "")


def _cron_job(schedule: Schedule, number: int, expression: str, instance: str, image: str) -> Wanted:
    name = name_of(schedule.name, number, instance)
    labels = {MANAGED_BY: "khantui", INSTANCE: instance, SCHEDULE: label(schedule.name)}
    marks = {SCHEDULE: schedule.name}
    spec = {
        "schedule": expression,
        "timeZone": "UTC" if schedule.kind == "once" else schedule.zone,
        "suspend": schedule.paused,
        "concurrencyPolicy": "Allow",  # what overlaps is for the controller of runs to say
        "startingDeadlineSeconds": None,  # a late tick still wakes us; whether it counts is the schedule's to say
        "successfulJobsHistoryLimit": _KEPT,
        "failedJobsHistoryLimit": _KEPT,
        "jobTemplate": {"metadata": {"labels": labels, "annotations": marks}, "spec": _job(labels, image)},
    }
    form = hashlib.sha256(json.dumps([labels, marks, spec], sort_keys=True).encode()).hexdigest()[:16]
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "labels": labels, "annotations": {**marks, FORM: form}},
        "spec": spec,
    }
    return Wanted(name, form, manifest)


def _job(labels: Mapping[str, str], image: str) -> dict[str, Any]:
    container = {
        "name": "tick",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["true"],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {"suspend": True, "backoffLimit": 0, "template": {"metadata": {"labels": dict(labels)}, "spec": pod}}


def name_of(schedule: str, number: int, instance: str) -> str:
    """The name of a schedule's CronJob for one of its expressions."""
    slug = re.sub(r"[^a-z0-9]+", "-", schedule)[:_LONGEST].strip("-")
    digest = hashlib.sha256(f"{instance}/{schedule}/{number}".encode()).hexdigest()[:8]
    return f"khantui-{slug}-{digest}"


def _differences(wanted: Any, found: Any, path: str) -> list[str]:
    """Where `found` is not what is wanted; what is more in it, the API server has filled in."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return [path]
        return [
            difference
            for key, value in wanted.items()
            for difference in _differences(value, found.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return [path]
        return [d for w, f in zip(wanted, found, strict=True) for d in _differences(w, f, path)]
    return [] if wanted == found or (wanted is False and found is None) else [path]
