"""What the system asks of its store: keys with revisions, atomic commits, watches, leases.

etcd's model, without its client. `memory` and `etcd` are the two that there are; one suite of tests holds for both.
Keys are text, values bytes. A store is opened on one root, which is prefixed to every key and never shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

MOST_CHANGES = 127  # in one transaction: etcd takes 128 operations, and one of them is the store's own


class KeyValue(Struct, frozen=True):
    """A key as it stood at some revision."""

    key: str
    value: bytes
    created: int  # the revision that created it
    modified: int  # the revision that last changed it


class Page(Struct, frozen=True):
    """Part of a range, all of it as of one revision."""

    items: list[KeyValue]
    revision: int
    more: bool
    count: int  # of the whole range


class Change(Struct, frozen=True):
    """One key changed; `value` is None where it was deleted."""

    key: str
    value: bytes | None
    modified: int
    created: int = 0


class Batch(Struct, frozen=True):
    """All changes of one or more consecutive revisions, in order. Never part of a revision."""

    revision: int  # of the last change; watch again from this + 1
    changes: list[Change]


class Condition(Struct, frozen=True):
    """The key's last change was at `modified` (0: there is no such key); or, with `created`, it is that key still."""

    key: str
    modified: int | None = None
    created: int | None = None


class Put(Struct, frozen=True):
    """Write a key. With a lease it goes when the lease does."""

    key: str
    value: bytes
    lease: int = 0


class Delete(Struct, frozen=True):
    """Delete a key, or, with `prefix`, all that start with it."""

    key: str
    prefix: bool = False


class Health(Struct, frozen=True):
    """How the store is."""

    version: str
    size: int  # bytes on disk
    in_use: int  # bytes in use
    quota: int  # bytes; 0: not known
    full: bool  # the quota alarm is on: writes are refused


class Store(Protocol):
    """A key-value store with revisions. Errors are `backend.errors.StoreError`s."""

    written: int  # the revision that this one's newest commit made that wrote a key; 0: none has

    async def get(self, key: str) -> KeyValue | None:
        """The key's present value."""
        ...

    async def get_many(self, keys: list[str]) -> list[KeyValue | None]:
        """Present values of many keys, all as of one revision where they fit into one transaction (128 keys)."""
        ...

    async def firsts(self, prefixes: list[str], limit: int) -> list[list[str]]:
        """For each prefix the first keys that start with it, `limit` at most; a hundred cost little more than one."""
        ...

    async def page(
        self,
        start: str,
        end: str,
        *,
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
        descending: bool = False,
    ) -> Page:
        """Keys from `start` (included) to `end` (excluded), in order, at most `limit`, as of `revision` (0: now)."""
        ...

    def scan(self, prefix: str, *, page: int = 5000, revision: int = 0) -> AsyncIterator[Page]:
        """All keys that start with `prefix`, in pages, all as of the first page's revision."""
        ...

    async def commit(self, conditions: list[Condition], changes: list[Put | Delete]) -> int | None:
        """Make all changes in one transaction if every condition holds: the revision made, or None if one does not.

        Never made twice: after an unknown outcome the store reads back before it tries again. At least one
        condition should be on a key that is also written. At most MOST_CHANGES changes, no key twice. What others
        ask for at the same time may be made at the same revision.
        """
        ...

    def watch(self, prefix: str, revision: int) -> AsyncIterator[Batch]:
        """Every change from `revision` on to keys that start with `prefix`, each once, in order, for ever.

        Resumes by itself over lost connections. Raises StoreCompacted or StoreRewound: then list again.
        """
        ...

    async def grant(self, ttl: float) -> int:
        """A new lease of `ttl` seconds: its id."""
        ...

    async def keep_alive(self, lease: int) -> float:
        """Refresh once: the seconds it has now. Raises LeaseLost."""
        ...

    async def revoke(self, lease: int) -> None:
        """End a lease and with it its keys. No error if it is gone already."""
        ...

    async def health(self) -> Health:
        """How the store is, asked now."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`, and give the space back (defragment, disarm the quota alarm)."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
