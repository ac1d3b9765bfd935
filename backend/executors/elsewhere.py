"""The executor of another daemon: one that only serves can say what it is, and never runs anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping

from backend.accounts.grant import SecretRef
from backend.errors import ExecutorError
from backend.executors.base import AttemptKey, AttemptSpec, HeldImage, Observation
from backend.spec.images import Image, without_container


class Elsewhere:
    """Kubernetes, as a daemon knows it that has no access to the cluster."""

    name = "kubernetes"

    def __init__(self, images: Mapping[str, Image]) -> None:
        self._images = images

    def missing_tools(self) -> dict[str, str]:
        """The images that cannot run on a cluster."""
        return without_container(self._images)

    def requests(self) -> Mapping[tuple[str, str], int]:
        """None at all."""
        return {}

    def observe(self) -> AsyncIterator[list[Observation]]:
        """Raises ExecutorError, as everything does that a leader asks."""
        raise ExecutorError("this daemon does not lead: stages run elsewhere")

    async def ensure(self, spec: AttemptSpec) -> None:
        self.observe()

    async def cancel(self, key: AttemptKey, grace: float = 10.0) -> None:
        self.observe()

    async def forget(self, key: AttemptKey) -> None:
        self.observe()

    async def sweep(self, active: Collection[str]) -> None:
        self.observe()

    async def revoke(self, ref: SecretRef) -> None:
        self.observe()

    async def retire(self, account: str) -> bool:
        """Raises ExecutorError."""
        self.observe()
        return False

    async def identity(self, image: str, digest: str = "") -> str:
        """Raises ExecutorError."""
        self.observe()
        return image

    async def held_images(self) -> Mapping[str, HeldImage]:
        """None that are known of."""
        return {}

    async def close(self) -> None:
        """There is nothing to let go of."""
