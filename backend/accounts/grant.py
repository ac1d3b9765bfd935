"""What one attempt is given by its service account, ready for an executor."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from backend.accounts.account import ClusterIdentity


class GivenSecret(Struct, frozen=True):
    """A secret's value at one moment. It is not shown where the attempt is."""

    name: str
    version: str  # names this value among those that the secret has had
    value: bytes
    env: str = ""
    file: str = ""

    @property
    def ref(self) -> SecretRef:
        """Which value it is."""
        return SecretRef(self.name, self.version)

    def __repr__(self) -> str:
        return f"GivenSecret({self.name!r}, {self.version!r}, env={self.env!r}, file={self.file!r})"


class SecretRef(NamedTuple):
    """Names one value of a secret, and tells nothing of it."""

    name: str
    version: str


class Grant(Struct, frozen=True):
    """All of it."""

    network: tuple[str, ...] = ()
    secrets: tuple[GivenSecret, ...] = ()
    kubernetes: ClusterIdentity = ClusterIdentity()
    declared: bool = False  # there is a record of the account
    refused: str = ""  # why nothing can be given any more: an attempt that runs goes on, and is not started again
