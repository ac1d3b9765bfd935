"""Who leads, and that whoever leads can be told to end at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from backend.control.leader import Leader
from backend.store.base import Condition, Delete, Put
from backend.store.calls import Ambiguous
from backend.store.feed import Feed
from backend.store.memory import MemoryStore


class Away(MemoryStore):
    """A store that is away just when a lease is given back."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def revoke(self, lease: int) -> None:
        self.asked.set()
        await asyncio.Event().wait()


class Cut(MemoryStore):
    """A store that makes its first change, and is gone before it can say so."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = False

    async def commit(self, conditions: Sequence[Condition], changes: Sequence[Put | Delete]) -> int | None:
        revision = await super().commit(conditions, changes)
        if not self.cut:
            self.cut = True
            raise Ambiguous("it went away")
        return revision


async def test_a_lead_that_was_won_unheard_is_not_waited_for() -> None:
    store = Cut()
    feed = Feed(store)
    watching = asyncio.create_task(feed.run())
    await feed.started.wait()
    leads = asyncio.Event()

    async def lead() -> None:
        leads.set()
        await asyncio.Event().wait()

    leading = asyncio.create_task(Leader(store, feed, ttl=600).run(lead))
    async with asyncio.timeout(10):
        await leads.wait()
    assert store.cut
    leading.cancel()
    watching.cancel()
    await asyncio.wait({leading, watching}, timeout=10)


async def test_a_leader_that_is_ended_while_it_gives_up_the_lead_ends() -> None:
    store = Away()
    feed = Feed(store)
    watching = asyncio.create_task(feed.run())
    await feed.started.wait()

    async def lead() -> None:
        """Has nothing to do, so that the lead is given up at once."""

    leading = asyncio.create_task(Leader(store, feed).run(lead))
    await store.asked.wait()
    leading.cancel()
    done, _ = await asyncio.wait({leading}, timeout=10)
    watching.cancel()
    assert done
    assert leading.cancelled()
