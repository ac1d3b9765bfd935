"""The most that any node of the cluster has, to say how much is missing where a pod fits nowhere."""

from __future__ import annotations

import asyncio

from backend.errors import ClusterError, ClusterForbidden
from backend.executors.kubernetes.objects import Node
from backend.kube import NODES, Kube
from backend.spec import quantity

FRESH = 60.0  # seconds for which an answer is good


class Capacity:
    """Asks the cluster at most once a minute, and never again where that is not allowed: it is only for the words."""

    def __init__(self, kube: Kube) -> None:
        self.most: dict[str, float] = {}  # resource -> amount, in cores, bytes or pieces
        self._kube = kube
        self._asked = float("-inf")

    @property
    def stale(self) -> bool:
        """Whether it is time to ask (again)."""
        return asyncio.get_running_loop().time() - self._asked > FRESH

    async def ask(self) -> None:
        """Find out."""
        self._asked = asyncio.get_running_loop().time()
        try:
            nodes = await self._kube.all(NODES, Node)
        except ClusterForbidden:
            self._asked = float("inf")
            return
        except ClusterError:
            return
        most: dict[str, float] = {}
        for node in nodes:
            for name, text in node.status.allocatable.items():
                most[name] = max(most.get(name, 0.0), _amount(name, text))
        self.most = most


def _amount(name: str, text: str) -> float:
    try:
        return quantity.cpu(text) if name == "cpu" else quantity.memory(text)
    except ValueError:
        return 0.0
