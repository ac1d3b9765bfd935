"""The kinds of objects that are read and written, and their paths in the API."""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """A kind of object."""

    base: str  # the API group's path: "/apis/batch/v1"
    plural: str
    namespaced: bool = True

    def path(self, namespace: str, name: str = "", part: str = "") -> str:
        """The path of all of them, of one, or of a part (subresource) of one."""
        where = f"{self.base}/namespaces/{namespace}" if self.namespaced else self.base
        return "/".join(filter(None, (where, self.plural, name, part)))


PODS = Resource("/api/v1", "pods")
EVENTS = Resource("/api/v1", "events")
CONFIGMAPS = Resource("/api/v1", "configmaps")
NODES = Resource("/api/v1", "nodes", namespaced=False)
JOBS = Resource("/apis/batch/v1", "jobs")
CRONJOBS = Resource("/apis/batch/v1", "cronjobs")
NETWORK_POLICIES = Resource("/apis/networking.k8s.io/v1", "networkpolicies")
SERVICE_ACCOUNTS = Resource("/api/v1", "serviceaccounts")
SECRETS = Resource("/api/v1", "secrets")
