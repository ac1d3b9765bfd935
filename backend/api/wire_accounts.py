"""What crosses HTTP about service accounts and secrets. A secret's value only ever comes in."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from backend.accounts.account import ClusterIdentity, SecretUse


class PutAccount(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /accounts/{name}: all that the account declares. `network` is "none", "all", or destinations."""

    description: str = ""
    network: str | tuple[str, ...] = "none"
    secrets: tuple[SecretUse, ...] = ()
    kubernetes: ClusterIdentity = ClusterIdentity()
    users: tuple[str, ...] = ()


class AccountView(Struct, frozen=True):
    """A service account."""

    name: str
    description: str
    network: tuple[str, ...]
    secrets: tuple[SecretUse, ...]
    kubernetes: ClusterIdentity
    users: tuple[str, ...]
    missing: tuple[str, ...]  # secrets that it declares and that are not there
    pipelines: tuple[str, ...]  # those that name it
    created: datetime | None
    created_by: str
    updated: datetime | None
    updated_by: str
    revision: int


class PutSecret(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /secrets/{name}: its new value, as base64."""

    value: bytes
    description: str | None = None  # None: as it is

    def __repr__(self) -> str:
        return f"PutSecret(description={self.description!r})"


class UseView(Struct, frozen=True):
    """An attempt that was given a secret."""

    run: str
    stage: str
    attempt: int
    pipeline: str
    account: str
    at: datetime
    current: bool  # it was the value that is the secret's now


class SecretView(Struct, frozen=True):
    """A secret, without its value."""

    name: str
    description: str
    version: int  # how many values it has had
    key: str  # names the key that wraps it
    accounts: tuple[str, ...]  # those that declare it
    last_used: UseView | None
    uses: tuple[UseView, ...]  # the newest first; only where one secret is asked for
    created: datetime | None
    created_by: str
    updated: datetime
    updated_by: str
    revision: int


class Rewrapped(Struct, frozen=True):
    """What came of changing the key that wraps secrets."""

    key: str
    secrets: int  # how many were wrapped anew
