"""The container images that the cluster's nodes have: their sizes and digests, for people who ask what an image is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from backend.errors import ClusterError
from backend.executors.base import HeldImage
from backend.executors.kubernetes.objects import Node
from backend.kube import NODES, Kube
from backend.spec.images import Image

FRESH = 60.0  # seconds for which an answer is good


class NodeImages:
    """Asks the cluster when it is asked, at most once a minute. Where nodes may not be read nothing is known."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._asked = float("-inf")
        self._known: Mapping[str, HeldImage] = {}

    async def held(self) -> Mapping[str, HeldImage]:
        """By reference."""
        now = asyncio.get_running_loop().time()
        if now - self._asked > FRESH:
            self._asked = now
            with contextlib.suppress(ClusterError):  # what was known is better than nothing
                self._known = by_reference(await self._kube.all(NODES, Node))
        return self._known


def by_reference(nodes: Iterable[Node]) -> dict[str, HeldImage]:
    """Each name that a node knows an image by. A digest is a name too: `repository@sha256:…`."""
    found: dict[str, HeldImage] = {}
    for node in nodes:
        for image in node.status.images:
            names = image.names or []
            digests = dict(name.split("@", 1) for name in names if "@" in name)
            for name in names:
                digest = digests.get(repository(name), "")
                if name not in found or (digest and not found[name].digest):
                    found[name] = HeldImage(image.size_bytes, digest)
    return found


def identity(where: str, image: Image, held: Mapping[str, HeldImage], digest: str = "") -> str:
    """What a reference stands for, with how it runs scripts: by its digest, if it names one or nodes know one."""
    names = (where, f"docker.io/{where}", f"docker.io/library/{where}")
    known = next((held[name].digest for name in names if name in held), "")
    return " ".join((where.partition("@")[2] or digest or known or where, *image.interpreter))


def repository(name: str) -> str:
    """A reference without its tag or digest; a colon before a slash is a port's."""
    name = name.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return head + slash + tail.partition(":")[0]
