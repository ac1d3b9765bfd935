"""What is kept in memory of the store, for those who must answer without asking it: read, and kept current."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from backend.errors import StoreError
from backend.store.base import Batch, Store
from backend.store.codec import decode
from backend.store.feed import Feed, Lost

T = TypeVar("T")
log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds after an error of the store


async def read_all(store: Store, prefix: str, kind: type[T]) -> tuple[dict[str, T], int]:
    """All records below a prefix by name, and the revision they are of. Raises StoreError.

    One that cannot be read is left out, and said.
    """
    found: dict[str, T] = {}
    revision = 0
    async for page in store.scan(prefix):
        revision = page.revision
        for item in page.items:
            try:
                found[item.key.removeprefix(prefix)] = decode(item.value, kind)
            except msgspec.DecodeError as error:
                log.error("%s cannot be read: %s", item.key, error)
    return found, revision


async def keep_current(
    feed: Feed,
    prefixes: tuple[str, ...],
    what: str,
    begin: Callable[[], Awaitable[None]],
    hear: Callable[[Batch], Awaitable[None]],
) -> None:
    """Read by `begin`, and heed every change after that by `hear`, for ever; begun anew when changes were missed."""
    while True:
        try:
            with feed.subscribe(*prefixes) as changes:
                await begin()
                async for batch in changes:
                    await hear(batch)
        except Lost:
            log.info("%s are listed again", what)
        except StoreError as error:
            log.warning("cannot read the %s: %s; trying again", what, error)
            await asyncio.sleep(_PAUSE)
