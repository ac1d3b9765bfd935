"""Counts of keys stay right while keys come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from backend.store import keys
from backend.store.base import Delete, Put
from backend.store.feed import Feed
from backend.store.memory import MemoryStore
from backend.store.tally import Tally

PREFIX = keys.by_pipeline("p")


@asynccontextmanager
async def following(store: MemoryStore) -> AsyncIterator[tuple[Tally, Feed]]:
    feed = Feed(store)
    tally = Tally(store, feed)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(feed.run())]
        await feed.started.wait()
        running.append(tasks.create_task(tally.run()))
        await asyncio.sleep(0)
        yield tally, feed
        for task in running:
            task.cancel()


async def heard(feed: Feed, revision: int | None) -> None:
    """Wait until the feed and who follows it have heard of a revision."""
    async with asyncio.timeout(5):
        while feed.revision < (revision or 0):
            await asyncio.sleep(0.001)
    for _ in range(3):
        await asyncio.sleep(0)


async def test_it_counts_what_comes_and_what_goes() -> None:
    store = MemoryStore()
    async with following(store) as (tally, feed):
        await store.commit([], [Put(f"{PREFIX}{n}", b"") for n in range(5)])
        assert await tally.about(PREFIX) == 5
        await store.commit([], [Put(f"{PREFIX}5", b""), Put(f"{keys.by_pipeline('pq')}1", b""), Delete(f"{PREFIX}0")])
        revision = await store.commit([], [Put(f"{PREFIX}1", b"again"), Delete(f"{PREFIX}2")])
        await heard(feed, revision)
        assert await tally.about(PREFIX) == 4
        assert await tally.count(PREFIX) == 4
        assert await tally.about(keys.by_pipeline("none")) == 0


async def test_what_changes_while_it_counts_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    page = store.page

    async def slow(*given: object, **more: object) -> object:
        found = await page(*given, **more)  # type: ignore[arg-type]
        if more.get("count_only"):
            revision = await store.commit([], [Put(f"{PREFIX}{len(asked)}", b"")])
            asked.append(found.count)
            await heard(feed, revision)
        return found

    asked: list[int] = []
    async with following(store) as (tally, feed):
        await store.commit([], [Put(f"{PREFIX}x", b"")])
        monkeypatch.setattr(store, "page", slow)
        assert await tally.about(PREFIX) == 2
        assert await tally.about(PREFIX) == 2
        assert asked == [1]
