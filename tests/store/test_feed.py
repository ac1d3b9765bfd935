"""One watch for all: who subscribes misses nothing and hears nothing twice, or is told to list again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from backend.errors import StoreCompacted, StoreUnavailable
from backend.store import feed as feed_module
from backend.store.base import Batch, Delete, Page, Put
from backend.store.feed import Feed, Lost, Subscription
from backend.store.memory import MemoryStore


class Breakable(MemoryStore):
    """A store whose watches can be ended with an error, and which can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = asyncio.Event()
        self.away = False
        self.asked = 0

    async def page(self, *args: object, **options: object) -> Page:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("etcd is away")
        return await super().page(*args, **options)  # type: ignore[arg-type]

    async def watch(self, prefix: str, revision: int) -> AsyncIterator[Batch]:
        batches = super().watch(prefix, revision)
        while True:
            batch = asyncio.ensure_future(anext(batches))
            broken = asyncio.ensure_future(self.broken.wait())
            await asyncio.wait({batch, broken}, return_when=asyncio.FIRST_COMPLETED)
            broken.cancel()
            if not batch.done():
                batch.cancel()
                self.broken.clear()
                raise StoreCompacted("gone")
            yield batch.result()


@pytest.fixture
def store() -> Breakable:
    return Breakable()


@pytest.fixture
async def feed(store: Breakable) -> AsyncIterator[Feed]:
    feed = Feed(store, remember=5)
    running = asyncio.create_task(feed.run())
    await feed.started.wait()
    yield feed
    running.cancel()


async def put(store: MemoryStore, *keys: str) -> int:
    revision = await store.commit([], [Put(key, b"") for key in keys])
    assert revision is not None
    return revision


async def until(feed: Feed, revision: int) -> None:
    async with asyncio.timeout(5):
        while feed.revision < revision:
            await asyncio.sleep(0)


async def keys(subscription: Subscription) -> list[str]:
    """Of the next batch."""
    async with asyncio.timeout(5):
        return [change.key for change in (await subscription.next()).changes]


async def test_a_subscriber_hears_of_its_prefixes_alone(feed: Feed, store: Breakable) -> None:
    with feed.subscribe("runs/", "leader") as subscription:
        for changed in (["runs/1", "stages/1", "leader"], ["stages/2"], ["runs/2"]):
            await until(feed, await put(store, *changed))
        assert [await keys(subscription) for _ in range(2)] == [["runs/1", "leader"], ["runs/2"]]


async def test_deletions_are_changes(feed: Feed, store: Breakable) -> None:
    await until(feed, await put(store, "a"))
    with feed.subscribe("") as subscription:
        await store.commit([], [Delete("a")])
        async with asyncio.timeout(5):
            assert [c.value for c in (await subscription.next()).changes] == [None]


async def test_all_subscribers_hear_the_same_and_one_that_left_hears_nothing(feed: Feed, store: Breakable) -> None:
    with feed.subscribe("") as one, feed.subscribe("") as two:
        with feed.subscribe("") as gone:
            pass
        await put(store, "a")
        assert await keys(one) == await keys(two) == ["a"]
    silent = asyncio.ensure_future(gone.next())
    await asyncio.sleep(0)
    assert not silent.done()
    silent.cancel()


async def test_iterating_gives_batch_after_batch(feed: Feed, store: Breakable) -> None:
    with feed.subscribe("") as subscription:
        for key in "abc":
            await until(feed, await put(store, key))
        seen = []
        async for batch in subscription:
            seen += [c.key for c in batch.changes]
            if len(seen) == 3:
                break
    assert seen == ["a", "b", "c"]


# Coming back


async def test_one_that_comes_back_hears_what_it_missed_by_revision(feed: Feed, store: Breakable) -> None:
    since = await put(store, "a")
    await put(store, "b", "c")
    await until(feed, await put(store, "d"))
    with feed.subscribe("", since=since) as subscription:
        await put(store, "e")
        assert [await keys(subscription) for _ in range(3)] == [["b", "c"], ["d"], ["e"]]


async def test_one_that_comes_back_from_before_what_is_remembered_is_told(feed: Feed, store: Breakable) -> None:
    revisions = [await put(store, f"k{n}") for n in range(10)]
    await until(feed, revisions[-1])
    with feed.subscribe("", since=revisions[4]) as subscription:
        assert [await keys(subscription) for _ in range(5)] == [[f"k{n}"] for n in range(5, 10)]
    with pytest.raises(Lost):
        feed.subscribe("", since=revisions[3])


async def test_half_a_revision_is_never_remembered_as_a_whole(feed: Feed, store: Breakable) -> None:
    first = await put(store, *(f"k{n}" for n in range(4)))
    second = await put(store, "x", "y", "z")
    await until(feed, second)
    with pytest.raises(Lost):
        feed.subscribe("", since=first - 1)
    with feed.subscribe("", since=first) as subscription:
        assert await keys(subscription) == ["x", "y", "z"]


async def test_a_revision_larger_than_what_is_remembered(feed: Feed, store: Breakable) -> None:
    first = await put(store, "a")
    second = await put(store, *(f"k{n}" for n in range(20)))
    await until(feed, second)
    with pytest.raises(Lost):
        feed.subscribe("", since=first)
    with feed.subscribe("", since=second) as subscription:
        await put(store, "b")
        assert await keys(subscription) == ["b"]


async def test_one_that_has_read_further_than_the_feed_hears_nothing_twice(feed: Feed, store: Breakable) -> None:
    await put(store, "a")
    read = await put(store, "b")
    assert feed.revision < read  # its watch has not had its turn
    with feed.subscribe("", since=read) as subscription:
        await put(store, "c")
        assert await keys(subscription) == ["c"]


async def test_one_that_has_seen_what_the_store_has_lost_is_told(feed: Feed, store: Breakable) -> None:
    with feed.subscribe("", since=feed.revision + 1000) as subscription, pytest.raises(Lost):
        await keys(subscription)


# Trouble


async def test_one_that_is_too_slow_is_told_and_others_are_not(feed: Feed, store: Breakable) -> None:
    with feed.subscribe("", limit=3) as slow, feed.subscribe("") as quick:
        for n in range(5):
            await until(feed, await put(store, f"k{n}"))
        with pytest.raises(Lost):
            await keys(slow)
        assert [await keys(quick) for _ in range(5)] == [[f"k{n}"] for n in range(5)]


async def test_when_the_watch_breaks_all_are_told_and_it_begins_anew(feed: Feed, store: Breakable) -> None:
    before = await put(store, "a")
    await until(feed, before)
    with feed.subscribe("") as subscription:
        store.broken.set()
        with pytest.raises(Lost):
            await keys(subscription)
        with pytest.raises(Lost):  # and again, until it subscribes anew
            await keys(subscription)
    with pytest.raises(Lost):
        feed.subscribe("", since=before - 1)
    with feed.subscribe("") as subscription:
        await put(store, "b")
        assert await keys(subscription) == ["b"]
    assert feed.restarts == 1


async def test_a_store_that_is_away_when_the_watch_breaks_is_waited_for(
    feed: Feed, store: Breakable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PAUSE", 0)
    with feed.subscribe("") as subscription:
        store.away = True
        asked = store.asked
        store.broken.set()
        async with asyncio.timeout(5):
            while store.asked < asked + 3:
                await asyncio.sleep(0)
        store.away = False
        with pytest.raises(Lost):
            await keys(subscription)


async def test_a_store_that_is_away_at_the_start_is_an_error(store: Breakable) -> None:
    store.away = True
    with pytest.raises(StoreUnavailable):
        await Feed(store).run()
