"""Archived logs in an object store: one object each, of which only what is looked at is fetched."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TypeVar

from backend.layout import Layout
from backend.logs.merged import LogKey
from backend.logs.source import Archive
from backend.objects import Bucket

TAIL = 64 << 10  # bytes of an archive's end that are fetched when it is opened: nearly always all of its index
OPEN = 64  # archives that are remembered, each with the blocks that were read last (2 MiB)
ABSENT = 2.0  # seconds for which a log that is not there is not asked for again

_KEYS = Layout(Path())
T = TypeVar("T")


class RemoteLogs:
    """The archived logs below a bucket's URL. Its methods may be called by any thread; they block it."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._open: OrderedDict[LogKey, Archive] = OrderedDict()
        self._absent: OrderedDict[LogKey, float] = OrderedDict()
        self._lock = threading.Lock()

    async def keep(self, key: LogKey, archive: Path) -> None:
        """Upload an archive. Doing it again changes nothing. Raises ObjectStoreError."""
        await self._bucket.upload_file(_key(key), archive)
        with self._lock:
            self._absent.pop(key, None)

    async def remove(self, run: str) -> None:
        """Remove the archives of a run. Raises ObjectStoreError."""
        prefix = (_KEYS.logs / run).as_posix()
        await self._bucket.delete([head.key async for head in self._bucket.below(prefix)])
        with self._lock:
            for key in [k for k in self._open if k.run == run]:
                del self._open[key]

    def open(self, key: LogKey) -> Archive:
        """An archive. Raises FileNotFoundError; DamagedLog; ArtifactError if it cannot be had."""
        with self._lock:
            if found := self._open.get(key):
                self._open.move_to_end(key)
                return found
            if time.monotonic() < self._absent.get(key, 0):
                raise FileNotFoundError(_key(key))
        size = self._bucket.size(_key(key))
        if size is None:
            self._remember(self._absent, key, time.monotonic() + ABSENT)
            raise FileNotFoundError(_key(key))
        archive = Archive(ObjectBytes(self._bucket, _key(key), size), self._bucket.uri(_key(key)))
        self._remember(self._open, key, archive)
        return archive

    def _remember(self, among: OrderedDict[LogKey, T], key: LogKey, value: T) -> None:
        with self._lock:
            among[key] = value
            while len(among) > OPEN:
                among.popitem(last=False)


class ObjectBytes:
    """An object's bytes. It never changes."""

    def __init__(self, bucket: Bucket, key: str, size: int) -> None:
        self.size = size
        self._bucket = bucket
        self._key = key
        self._tail_start = max(size - TAIL, 0)
        self._tail = bucket.part(key, self._tail_start, size - self._tail_start)

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        if offset >= self._tail_start:
            return self._tail[offset - self._tail_start :][:size]
        return self._bucket.part(self._key, offset, min(size, self.size - offset))

    def close(self) -> None:
        """It is shared by all who read it."""


def _key(key: LogKey) -> str:
    return _KEYS.archived_log(*key).as_posix()
