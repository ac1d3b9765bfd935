"""What the controller does in its namespace: the Role in deploy/ grants exactly this; `khantui doctor` asks for it."""

from __future__ import annotations

from typing import NamedTuple


class Right(NamedTuple):
    """Verbs on one kind of object."""

    group: str  # "" is the core
    resource: str  # "pods", or a part of them: "pods/log"
    verbs: tuple[str, ...]


RIGHTS = (
    Right("", "events", ("list", "watch")),
    Right("", "pods", ("delete", "get", "list", "patch", "watch")),
    Right("", "pods/log", ("get",)),
    Right("", "secrets", ("create", "delete")),
    Right("", "serviceaccounts", ("create", "deletecollection", "update")),
    Right("batch", "cronjobs", ("create", "delete", "get", "list", "patch", "watch")),
    Right("batch", "jobs", ("create", "delete", "get", "list", "watch")),
    Right("networking.k8s.io", "networkpolicies", ("create", "deletecollection", "update")),
)
