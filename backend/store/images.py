"""The images that stages can name: those that come along, and those that were registered here, kept current.

A registered image of a name that comes along stands in its place until it is removed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping

import msgspec

from backend.errors import StoreError
from backend.spec.images import IMAGES, Image
from backend.store import keys
from backend.store.base import Store
from backend.store.codec import decode
from backend.store.feed import Feed, Lost
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
        found: dict[str, RegisteredImage] = {}
        revision = 0
        async for page in self._store.scan(keys.IMAGES):
            revision = page.revision
            for item in page.items:
                name = item.key.removeprefix(keys.IMAGES)
                try:
                    found[name] = decode(item.value, RegisteredImage)
                except msgspec.DecodeError as error:
                    log.error("image %s cannot be read: %s", name, error)
        if revision >= self.revision:
            self.revision = revision
            self._registered = found
            self._all = {**self._built_in, **{name: record.image for name, record in sorted(found.items())}}
        self.loaded.set()

    async def run(self, feed: Feed) -> None:
        """Keep to what is registered, for ever."""
        while True:
            try:
                with feed.subscribe(keys.IMAGES) as changes:
                    self.revision = 0  # a store that was restored counts from an earlier one
                    await self.load()
                    async for _ in changes:
                        await self.load()
            except Lost:
                log.info("images are listed again")
            except StoreError as error:
                log.warning("cannot read the registered images: %s; trying again", error)
                await asyncio.sleep(_PAUSE)
