"""Secrets as they are kept, and all of them at hand, sealed: logs must be masked by whoever serves them, at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from backend.accounts.grant import SecretRef
from backend.accounts.masking import Masker
from backend.errors import VaultError
from backend.store import keys
from backend.store.at_hand import keep_current, read_all
from backend.store.base import Store
from backend.store.codec import decode
from backend.store.feed import Feed
from backend.vault import Keyring, Sealed, unseal

log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds after an error of the store
_MASKERS = 500  # that are remembered


class SecretVersion(Struct, frozen=True):
    """One value that a secret has had."""

    id: str  # random, so that a secret of the same name that is made again is another
    sealed: Sealed
    at: datetime
    by: str


class Secret(Struct, frozen=True, omit_defaults=True):
    """A secret. Older values are kept while an attempt may run that was given one: its log is masked with it."""

    name: str
    versions: tuple[SecretVersion, ...]  # the newest last
    number: int = 1  # of the newest, from 1
    description: str = ""
    created: datetime | None = None
    created_by: str = ""

    @property
    def current(self) -> SecretVersion:
        """The value that attempts are given."""
        return self.versions[-1]


class Use(Struct, frozen=True):
    """An attempt was given a secret; which attempt, its key says."""

    at: datetime
    version: str
    account: str
    pipeline: str


def about(name: str, version: str) -> str:
    """What a value is sealed for."""
    return f"the secret {name} ({version})"


class Secrets:
    """All secrets, sealed; opened one by one where they are used. `load` reads the store, `run` goes on reading."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self.keyring = keyring
        self._store = store
        self._all: dict[str, Secret] = {}
        self._revision = 0
        self._maskers: dict[tuple[SecretRef, ...], Masker] = {}
        self.loaded = asyncio.Event()

    def open(self, secret: Secret, version: SecretVersion | None = None) -> bytes:
        """A value; the current one unless another is named. Raises VaultError."""
        wanted = version or secret.current
        return unseal(wanted.sealed, about(secret.name, wanted.id), self.keyring)

    def masker(self, refs: Sequence[SecretRef]) -> Masker:
        """What hides these. Raises VaultError for one that is not known here: what may hold it must not be shown."""
        wanted = tuple(sorted(set(refs)))
        if (known := self._maskers.get(wanted)) is not None:
            return known
        masker = Masker(self._value(ref) for ref in wanted)
        while len(self._maskers) >= _MASKERS:
            self._maskers.pop(next(iter(self._maskers)))
        self._maskers[wanted] = masker
        return masker

    def _value(self, ref: SecretRef) -> bytes:
        secret = self._all.get(ref.name)
        version = next((v for v in secret.versions if v.id == ref.version), None) if secret else None
        if secret is None or version is None:
            raise VaultError(
                f"the log may hold the secret {ref.name}, which is not known here: it is not shown unmasked",
                hint="it is shown when its stage has ended",
            )
        return self.open(secret, version)

    async def read(self, name: str) -> Secret | None:
        """A secret as it is in the store now. Raises StoreError."""
        found = await self._store.get(keys.secret(name))
        if found is None:
            return None
        secret = decode(found.value, Secret)
        self._all[name] = secret  # what is used from now on can be masked from now on
        return secret

    async def load(self) -> None:
        """Read all of them. Raises StoreError."""
        found, revision = await read_all(self._store, keys.SECRETS, Secret)
        if revision >= self._revision:
            self._revision = revision
            self._all = found
        self.loaded.set()

    async def run(self, feed: Feed) -> None:
        """Keep to what the store has, for ever."""
        await keep_current(feed, (keys.SECRETS,), "secrets", self._begin, lambda _: self.load())

    async def _begin(self) -> None:
        self._revision = 0  # a store that was restored counts from an earlier one
        await self.load()
