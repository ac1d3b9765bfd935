"""The kinds of objects that are read and written, and their paths in the API."""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """A kind of object that lives in a namespace."""

    base: str  # the API group's path: "/apis/batch/v1"
    plural: str

    def path(self, namespace: str, name: str = "", part: str = "") -> str:
        """The path of all of them, of one, or of a part (subresource) of one."""
        path = f"{self.base}/namespaces/{namespace}/{self.plural}"
        return "/".join(filter(None, (path, name, part)))


PODS = Resource("/api/v1", "pods")
EVENTS = Resource("/api/v1", "events")
CONFIGMAPS = Resource("/api/v1", "configmaps")
JOBS = Resource("/apis/batch/v1", "jobs")
CRONJOBS = Resource("/apis/batch/v1", "cronjobs")
