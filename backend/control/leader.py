"""Which daemon acts. One leads; its lease's key is compared in every transaction of its controllers.

A daemon that was paused and wakes after another has taken over can therefore not write anything, whatever it believes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from backend.errors import LeaseLost, StoreError
from backend.store import keys
from backend.store.base import Condition, Delete, Put, Store
from backend.store.feed import Feed, Lost

log = logging.getLogger(__name__)

PAUSES = (0.2, 2.0)  # seconds between two attempts to lead, when the store does not let us: the first and the longest


class Leader:
    """Campaigns for ever; runs `lead` while it leads, and cancels it when it does not any more."""

    def __init__(self, store: Store, feed: Feed, *, ttl: float = 6.0, alone: bool = False) -> None:
        """`alone`: no other daemon can be alive (the data folder is locked), so a leader found is a dead one."""
        self._store = store
        self._feed = feed
        self._ttl = ttl
        self._alone = alone
        self._created = 0
        self._left: set[int] = set()  # leases of ours that may still hold the lead
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    @property
    def leads(self) -> bool:
        """Whether this daemon leads, as far as it knows."""
        return self._created > 0

    def fence(self) -> list[Condition]:
        """What must hold for a controller's transaction to be made."""
        return [Condition(keys.LEADER, created=self._created)]

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Lead whenever possible, until cancelled."""
        pause = PAUSES[0]
        while True:
            try:
                lease = await self._campaign()
                pause = PAUSES[0]
            except (StoreError, Lost) as error:
                log.warning("cannot campaign for the lead: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSES[1])
                continue
            try:
                await self._reign(lease, lead)
            finally:
                self._created = 0
                await self._resign(lease)

    async def _campaign(self) -> int:
        for lease in tuple(self._left):
            await self._store.revoke(lease)
            self._left.discard(lease)
        lease = await self._store.grant(self._ttl)
        try:
            return await self._win(lease)
        except (StoreError, Lost):
            # it may have been won just as the store went away: the next try must not wait for ourselves
            self._left.add(lease)
            raise

    async def _win(self, lease: int) -> int:
        """Take the lead as soon as nobody has it: the lease that holds it."""
        while True:
            with self._feed.subscribe(keys.LEADER) as changes:
                found = await self._store.get(keys.LEADER)
                if found is not None and self._alone:
                    await self._store.commit([Condition(keys.LEADER, modified=found.modified)], [Delete(keys.LEADER)])
                    found = None
                if found is None:
                    revision = await self._store.commit(
                        [Condition(keys.LEADER, modified=0)], [Put(keys.LEADER, self.name.encode(), lease)]
                    )
                    if revision is not None:
                        self._created = revision
                        log.info("this daemon leads")
                        return lease
                    continue
                lease = await self._wait(changes.next(), lease)

    async def _wait(self, change: Awaitable[object], lease: int) -> int:
        """Wait for the leader's key to change, keeping our own lease alive: the lease to go on with."""
        waiting = asyncio.ensure_future(change)
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=self._ttl / 3)
                try:
                    await self._store.keep_alive(lease)
                except LeaseLost:
                    lease = await self._store.grant(self._ttl)
            waiting.result()
        finally:
            waiting.cancel()
        return lease

    async def _reign(self, lease: int, lead: Callable[[], Awaitable[None]]) -> None:
        work = asyncio.ensure_future(lead())
        keep = asyncio.create_task(self._keep(lease))
        try:
            await asyncio.wait({work, keep}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # a controller that fails brings the daemon down
        finally:
            for task in (keep, work):
                task.cancel()
            await asyncio.gather(keep, work, return_exceptions=True)

    async def _keep(self, lease: int) -> None:
        """Refresh the lease; returns when it must be taken for lost."""
        loop = asyncio.get_running_loop()
        good = loop.time()
        while loop.time() - good < self._ttl * 0.8:
            try:
                await self._store.keep_alive(lease)
                good = loop.time()
            except LeaseLost:
                break
            except StoreError as error:
                log.warning("cannot refresh the lease of the lead: %s", error)
            await asyncio.sleep(min(self._ttl / 3, max(self._ttl * 0.8 - (loop.time() - good), 0.05)))
        log.warning("this daemon leads no longer")

    async def _resign(self, lease: int) -> None:
        try:
            async with asyncio.timeout(2):
                await asyncio.shield(self._store.revoke(lease))
        except (StoreError, TimeoutError):
            self._left.add(lease)
            log.info("the lease of the lead is left to expire")
