"""Who leads, and that whoever leads can be told to end at any moment."""

from __future__ import annotations

import asyncio

from backend.control.leader import Leader
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
