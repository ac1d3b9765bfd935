"""Has the executor let go of what is no more: on Kubernetes, of the Secrets that held earlier values, and of what was
made for service accounts that are deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from backend.accounts.grant import SecretRef
from backend.errors import KhanError, StoreError
from backend.executors.base import Executor
from backend.store import keys
from backend.store.base import Batch, Condition, Delete, Store
from backend.store.feed import Feed, Lost, Subscription

log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds after an error
AGAIN = 30.0  # seconds after which it is tried again where it could not be done


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
                with self._feed.subscribe(keys.REVOKED, keys.RETIRED) as changes:
                    await self._follow(changes)
            except Lost:
                continue
            except StoreError as error:
                log.warning("cannot follow what was revoked: %s", error)
                await asyncio.sleep(_PAUSE)

    async def _follow(self, changes: Subscription) -> None:
        waiting: asyncio.Task[Batch] | None = None
        try:
            left = await self._all()
            while True:
                waiting = waiting or asyncio.create_task(changes.next())
                done, _ = await asyncio.wait({waiting}, timeout=AGAIN if left else None)
                noted = True
                if done:
                    batch, waiting = waiting.result(), None
                    noted = any(change.value is not None for change in batch.changes)
                if noted:
                    left = await self._all()
        finally:
            if waiting is not None:
                waiting.cancel()

    async def _all(self) -> bool:
        """Whether something is left for later."""
        left = False
        for prefix, let_go in ((keys.REVOKED, self._revoke), (keys.RETIRED, self._retire)):
            async for page in self._store.scan(prefix):
                for item in page.items:
                    try:
                        done = await let_go(item.key.removeprefix(prefix))
                    except KhanError as error:
                        log.error("%s: what was made for it is not taken back: %s", item.key, error)
                        done = False
                    if done:
                        await self._store.commit(self._fence(), [Delete(item.key)])
                    left = left or not done
        return left

    async def _revoke(self, noted: str) -> bool:
        name, version = noted.split("/")
        await self._executor.revoke(SecretRef(name, version))
        return True

    async def _retire(self, account: str) -> bool:
        if await self._store.get(keys.account(account)) is not None:  # it is there again
            return True
        return await self._executor.retire(account)
