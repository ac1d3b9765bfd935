"""Where artifacts are kept: one protocol, a folder of this machine or an object store behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol

from backend.artifacts.reading import Content
from backend.run.state import ArtifactRecord


class ArtifactStore(Protocol):
    """The artifacts of one Khantui.

    That an artifact is published is what its stage's record in etcd says; the store only keeps content, by the
    `location` that an ArtifactRecord has, which is the same in both. All methods may be called again, and raise
    ArtifactError; ObjectStoreUnavailable is the one after which it may help to try again.
    """

    async def publish(self, run: str, stage: str, number: int, outputs: Iterable[str]) -> dict[str, ArtifactRecord]:
        """What an attempt wrote as these outputs, all of it. Raises ArtifactError for what is missing or unsafe."""
        ...

    async def bring(self, uri: str) -> ArtifactRecord:
        """An input from outside, as it is now, kept by its content."""
        ...

    async def export(self, record: ArtifactRecord, uri: str) -> None:
        """Copy a published artifact to where its `uri` says."""
        ...

    async def open(self, record: ArtifactRecord, inside: str = "") -> Content:
        """An artifact's content, or that of a file or folder inside of it. Raises NotFound."""
        ...

    async def has(self, record: ArtifactRecord) -> bool:
        """Whether its content is (still) there."""
        ...

    async def check(self, record: ArtifactRecord) -> None:
        """See, before a stage reads it, that it is what was published. Raises ArtifactError if that is easily seen."""
        ...

    async def remove(self, run: str) -> None:
        """Remove all that a run's attempts left behind."""
        ...

    async def prune(self, used: Collection[str], before: datetime) -> int:
        """Remove inputs from outside that are at none of these locations, and were last asked for before that.

        How many. In an object store all stay: nothing there says when an object was last asked for.
        """
        ...
