"""Schedules as Kubernetes CronJobs whose Jobs start runs with `khantui run`, as YAML. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from khantui.crontab.export import arguments, cron_times, lost, zone_for

if TYPE_CHECKING:
    from backend.api.wire import ScheduleView

_LONGEST = 52  # characters of a CronJob's name
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9/_.-]*")
_WORDS = frozenset("true false null yes no on off y n".split())
_POLICIES = {"skip": "Forbid", "replace": "Replace"}


def cronjob_yaml(
    schedules: Sequence[ScheduleView], address: str, image: str, secret: str, ca_secret: str, namespace: str = ""
) -> str:
    """A YAML document for each CronJob, with comments for what it cannot say.

    `secret` is the name of a Secret with the daemon's token (key `token`), `ca_secret` of one with the authority of its
    certificate (key `ca.crt`); either may be empty.
    """
    parts: list[str] = []
    for schedule in schedules:
        comments = [f"# {' '.join(text.split())}" for text in (f"{schedule.name}: {schedule.when}", *lost(schedule))]
        times = cron_times(schedule)
        for number, time in enumerate(times):
            manifest = _manifest(schedule, number, time, address, image, secret, ca_secret)
            if namespace:
                manifest["metadata"]["namespace"] = namespace
            parts.append("\n".join([*comments, *_yaml(manifest)]))
        if not times:
            parts.append("\n".join(comments))
    return "\n---\n".join(parts) + "\n" if parts else ""


def name_of(schedule: str, number: int) -> str:
    """A CronJob's name for one of a schedule's expressions."""
    slug = re.sub(r"[^a-z0-9]+", "-", schedule).strip("-")
    full = f"khantui-run-{slug}" + (f"-{number + 1}" if number else "")
    if len(full) <= _LONGEST and slug == schedule:
        return full
    digest = hashlib.sha256(f"{schedule}/{number}".encode()).hexdigest()[:8]
    return f"{full[: _LONGEST - 9].rstrip('-')}-{digest}"


def _manifest(
    schedule: ScheduleView, number: int, time: str, address: str, image: str, secret: str, ca_secret: str
) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "khantui-run", "app.kubernetes.io/part-of": "khantui"}
    settings: list[dict[str, Any]] = [{"name": "KHANTUI_ADDRESS", "value": address}]
    container: dict[str, Any] = {
        "name": "run",
        "image": image,
        "command": ["khantui", *arguments(schedule), "--wait"],
        "env": settings,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
    }  # fmt: skip
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    if secret:
        settings.append({"name": "KHANTUI_TOKEN_FILE", "value": "/run/khantui/token"})
        sources = [{"secret": {"name": secret, "items": [{"key": "token", "path": "token"}]}}]
        if ca_secret:
            settings.append({"name": "KHANTUI_CA", "value": "/run/khantui/ca.crt"})
            sources.append({"secret": {"name": ca_secret, "items": [{"key": "ca.crt", "path": "ca.crt"}]}})
        container["volumeMounts"] = [{"name": "access", "mountPath": "/run/khantui", "readOnly": True}]
        pod["volumes"] = [{"name": "access", "projected": {"sources": sources, "defaultMode": 0o440}}]
        pod["securityContext"]["fsGroup"] = 1000
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name_of(schedule.name, number), "labels": labels},
        "spec": {
            "schedule": time,
            "timeZone": zone_for(schedule),
            "suspend": schedule.paused or schedule.done,
            "concurrencyPolicy": _POLICIES.get(schedule.overlap, "Allow"),
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}}},
        },
    }


def _yaml(value: Any, indent: int = 0) -> Iterator[str]:
    """Lines of YAML: blocks, and scalars as JSON writes them where they could be taken for something else."""
    margin = " " * indent
    items = value.items() if isinstance(value, Mapping) else ((None, each) for each in value)
    for key, each in items:
        head = f"{margin}{_scalar(key)}:" if key is not None else f"{margin}-"
        if not isinstance(each, (Mapping, list)) or not each:
            yield f"{head} {_scalar(each)}"
        elif key is None:
            first, *rest = _yaml(each, indent + 2)
            yield f"{head} {first[indent + 2 :]}"
            yield from rest
        else:
            yield head
            yield from _yaml(each, indent + 2)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=True)
