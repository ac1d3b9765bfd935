"""Knows all objects of a kind, and says what changes: a list once, then a watch that goes on where it broke off.

The official client has an informer (`kubernetes.informer.SharedInformer`). It is not used: it needs the synchronous
client and a thread for each kind, hands its callbacks over on that thread, keeps whole objects, lists in one page
without a time-out, and a connection that has died silently keeps it waiting for ever. `kubernetes.aio` has neither an
informer nor a watch of its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from backend.errors import ClusterError, ClusterUnavailable, VersionGone
from backend.kube.client import Kube, Params
from backend.kube.errors import from_status
from backend.kube.objects import Object, Status, WatchEvent
from backend.kube.resources import Resource

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Object)

SILENCE = 90.0  # seconds without a byte after which a watch is taken for dead: bookmarks come every minute
WATCH = 300  # seconds that the server is asked to keep a watch up
RESYNC = 1800.0  # seconds after which everything is listed anew, in case anything was missed all the same
LONGEST_PAUSE = 10.0  # seconds between two tries to reach a cluster that is away


class Change(Struct, Generic[T], frozen=True):
    """An object as it is now, or as it was last if it is `gone`."""

    object: T
    gone: bool = False


class Informer(Generic[T]):
    """All objects of one kind that the labels select, by uid, and their changes.

    Changes coalesce: what has changed twice before it is read comes once, as it is. So nothing grows but with the
    number of objects, and what was seen is told once: a list that repeats what is known says nothing, and an object
    that is missing from it is `gone`.
    """

    def __init__(
        self,
        kube: Kube,
        resource: Resource,
        kind: type[T],
        *,
        labels: str = "",
        fields: str = "",
        keep: Callable[[T], bool] | None = None,
        silence: float = SILENCE,
        resync: float = RESYNC,
    ) -> None:
        """`kind` says which fields are kept; `labels` and `fields` are selectors. Times in seconds.

        Where selectors cannot say it, `keep` does: objects that it refuses are as good as not there.
        """
        self.objects: dict[str, T] = {}
        self.synced = asyncio.Event()  # everything has been listed at least once
        self.lists = 0  # how often everything was listed
        self.watches = 0  # how often a watch was begun
        self.trouble = ""  # why it cannot follow at this moment
        self._kube = kube
        self._resource = resource
        self._kind = kind
        self._selectors: Params = {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}
        self._keep = keep or (lambda _: True)
        self._silence = silence
        self._resync = resync
        self._version = ""  # where the watch goes on; empty: list first
        self._listed = 0.0  # when, on the loop's clock
        self._changes: dict[str, Change[T]] = {}
        self._news = asyncio.Event()
        self._decoder = msgspec.json.Decoder(WatchEvent)

    async def changes(self) -> AsyncIterator[list[Change[T]]]:
        """What changes, from the first list on, for ever. One consumer."""
        while True:
            await self._news.wait()
            self._news.clear()
            changes, self._changes = self._changes, {}
            yield list(changes.values())

    async def run(self) -> None:
        """Keep up with the cluster until cancelled, however often it goes away; `trouble` says why it cannot."""
        pause = 0.1
        while True:
            before = self._version
            try:
                if not self._version or self._age() > self._resync:
                    await self._list()
                await self._watch()
                pause = 0.1
            except VersionGone as error:
                log.info("%s: listing everything again (%s)", self._resource.plural, error.message)
                self._version = ""
            except msgspec.DecodeError as error:  # cut off, or not what it should be
                log.exception("%s: what the cluster sent cannot be read", self._resource.plural)
                self._version, self.trouble = "", str(error)
                await asyncio.sleep(LONGEST_PAUSE)
            except ClusterError as error:
                if self._version != before:
                    pause = 0.1  # it got somewhere before it broke
                self.trouble = error.message
                log.warning("%s: %s; again in %.1f s", self._resource.plural, error.message, pause)
                asked = error.retry_after if isinstance(error, ClusterUnavailable) else 0.0
                await asyncio.sleep(max(pause * random.uniform(0.5, 1.0), asked))  # noqa: S311  no secret
                pause = min(pause * 2, LONGEST_PAUSE)

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._listed

    async def _list(self) -> None:
        """Learn everything that is there, and so what is not there any more."""
        found: dict[str, T] = {}
        version = ""
        async for page in self._kube.pages(self._resource, self._kind, self._selectors):
            found.update((item.metadata.uid, item) for item in page.items if self._keep(item))
            version = page.metadata.resource_version
        for uid in [uid for uid in self.objects if uid not in found]:
            self._gone(uid)
        for item in found.values():
            self._is(item)
        self._version = version
        self._listed = asyncio.get_running_loop().time()
        self.lists += 1
        self.synced.set()

    async def _watch(self) -> None:
        """Follow from the version that is known; returns when the server ends the watch in good order."""
        self.watches += 1
        limit = max(1, min(WATCH, int(self._resync - self._age())))
        params: Params = {
            **self._selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": limit,
        }
        async with self._kube.stream("watch", self._resource, params=params, silence=self._silence) as lines:
            self.trouble, rest = "", b""
            while data := await lines.readany():
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    self._hear(line)

    def _hear(self, line: bytes) -> None:
        event = self._decoder.decode(line)
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=Status)
            raise from_status(status.code or 500, bytes(event.object), f"watch {self._resource.plural}")
        item = msgspec.json.decode(event.object, type=self._kind)
        self._version = item.metadata.resource_version
        if event.type == "BOOKMARK" or not (item.metadata.uid in self.objects or self._keep(item)):
            return
        self._is(item)  # a deleted object comes as it was last
        if event.type == "DELETED":
            self._gone(item.metadata.uid)

    def _is(self, item: T) -> None:
        uid = item.metadata.uid
        known = self.objects.get(uid)
        if known is not None and known.metadata.resource_version == item.metadata.resource_version:
            return
        self.objects[uid] = item
        self._say(uid, Change(item))

    def _gone(self, uid: str) -> None:
        self._say(uid, Change(self.objects.pop(uid), gone=True))

    def _say(self, uid: str, change: Change[T]) -> None:
        self._changes[uid] = change
        self._news.set()
