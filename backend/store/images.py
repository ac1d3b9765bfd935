"""The images that stages can name: those that come along, and those that were registered here, kept current.

A registered image of a name that comes along stands in its place until it is removed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping

from backend.spec.images import IMAGES, Image
from backend.store import keys
from backend.store.at_hand import keep_current, read_all
from backend.store.base import Store
from backend.store.feed import Feed
from backend.store.records import RegisteredImage

log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds after an error of the store


class Images(Mapping[str, Image]):
    """Images by name, as far as the store was read: `load` reads it, `run` goes on reading as it changes."""

    def __init__(self, store: Store, built_in: Mapping[str, Image] = IMAGES) -> None:
        self._store = store
        self._built_in = built_in
        self._registered: dict[str, RegisteredImage] = {}
        self._all = dict(built_in)
        self.revision = 0
        self.loaded = asyncio.Event()  # set once they were read

    def __getitem__(self, name: str) -> Image:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def registered(self, name: str) -> RegisteredImage | None:
        """Who has registered this image, and when; None for one that comes along."""
        return self._registered.get(name)

    async def load(self) -> None:
        """Read all that are registered now. Raises StoreError."""
        found, revision = await read_all(self._store, keys.IMAGES, RegisteredImage)
        if revision >= self.revision:
            self.revision = revision
            self._registered = found
            self._all = {**self._built_in, **{name: record.image for name, record in sorted(found.items())}}
        self.loaded.set()

    async def run(self, feed: Feed) -> None:
        """Keep to what is registered, for ever."""
        await keep_current(feed, (keys.IMAGES,), "registered images", self._begin, lambda _: self.load())

    async def _begin(self) -> None:
        self.revision = 0  # a store that was restored counts from an earlier one
        await self.load()
