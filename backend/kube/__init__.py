"""The Kubernetes API as this project uses it: a client, informers, the objects it reads, and errors as words.

Imported only where stages run on Kubernetes: the official client takes half a second and 100 MB to load.
"""

from backend.kube.client import Kube, Requests
from backend.kube.configuration import Connection, connect, context_of
from backend.kube.informer import Change, Informer
from backend.kube.objects import Meta, Object
from backend.kube.resources import (
    CRONJOBS,
    EVENTS,
    JOBS,
    NETWORK_POLICIES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    Resource,
)

__all__ = [
    "CRONJOBS",
    "EVENTS",
    "JOBS",
    "NETWORK_POLICIES",
    "NODES",
    "PODS",
    "SECRETS",
    "SERVICE_ACCOUNTS",
    "Change",
    "Connection",
    "Informer",
    "Kube",
    "Meta",
    "Object",
    "Requests",
    "Resource",
    "connect",
    "context_of",
]
