"""Has the executor let go of values of secrets that are given no more: on Kubernetes, of the Secrets that held them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from backend.accounts.grant import SecretRef
from backend.errors import KhanError, StoreError
from backend.executors.base import Executor
from backend.store import keys
from backend.store.base import Condition, Delete, Store
from backend.store.feed import Feed, Lost

log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds after an error


class Revocations:
    """Those that are noted in the store. What was begun by an earlier leader is done again."""

    def __init__(self, store: Store, feed: Feed, executor: Executor, fence: Callable[[], list[Condition]]) -> None:
        self._store = store
        self._feed = feed
        self._executor = executor
        self._fence = fence

    async def run(self) -> None:
        """Follow the notes until cancelled."""
        while True:
            try:
                with self._feed.subscribe(keys.REVOKED) as changes:
                    await self._all()
                    async for batch in changes:
                        if any(change.value is not None for change in batch.changes):
                            await self._all()
            except Lost:
                continue
            except StoreError as error:
                log.warning("cannot follow what was revoked: %s", error)
                await asyncio.sleep(_PAUSE)

    async def _all(self) -> None:
        async for page in self._store.scan(keys.REVOKED):
            for item in page.items:
                name, version = item.key.removeprefix(keys.REVOKED).split("/")
                try:
                    await self._executor.revoke(SecretRef(name, version))
                except KhanError as error:
                    log.error("an earlier value of the secret %s is not taken back: %s", name, error)
                    continue
                await self._store.commit(self._fence(), [Delete(item.key)])
