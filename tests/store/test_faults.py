"""What happens to a real etcd: it is killed, restarted, compacted, set back. Nothing is lost or made twice."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.errors import LeaseLost, StoreCompacted, StoreRewound, StoreUnavailable
from backend.store.base import Condition, Put, Store
from backend.store.etcd import EtcdStore
from backend.store.feed import Feed, Lost
from tests.store.server import Server, put

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

WRITERS = 24


@pytest.fixture
async def store(server: Server) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([server.target], timeout=3)
    await put(store, "first", b"")
    yield store
    await store.close()


async def collect(store: Store, since: int, end: bytes) -> list[tuple[str, bytes | None, int]]:
    """Every change since then, up to the one to `end`."""
    seen: list[tuple[str, bytes | None, int]] = []
    async for batch in store.watch("", since):
        seen += [(c.key, c.value, c.modified) for c in batch.changes]
        if seen[-1][1] == end:
            break
    return seen


# kill -9


async def test_killed_under_writers_it_loses_nothing_it_acknowledged_and_makes_nothing_twice(
    server: Server, store: EtcdStore
) -> None:
    """Each writer counts upwards in its key; every number must be there once, in order, at the revision it was told."""
    stop = asyncio.Event()
    told: dict[str, list[tuple[bytes, int]]] = {}

    async def write(writer: str) -> None:
        number = 0
        while not stop.is_set():
            try:
                revision = await put(store, writer, b"%d" % number)
            except StoreUnavailable:  # surely not made, so the same number again
                continue
            told.setdefault(writer, []).append((b"%d" % number, revision))
            number += 1

    live = asyncio.ensure_future(collect(store, 2, b"end"))
    async with asyncio.TaskGroup() as tasks:
        for n in range(WRITERS):
            tasks.create_task(write(f"w/{n}"))
        for _ in range(3):
            before = sum(map(len, told.values()))
            async with asyncio.timeout(30):
                while sum(map(len, told.values())) < before + 10 * WRITERS:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(random.uniform(0, 0.1))  # any moment will do: this is the fault, not a wait
            server.kill()
        stop.set()
    await put(store, "last", b"end")
    async with asyncio.timeout(30):
        seen = await live
        assert await collect(store, 2, b"end") == seen, "the watch that lived through it saw something else"
    for writer, entries in told.items():
        assert [(value, modified) for key, value, modified in seen if key == writer] == entries


async def test_writers_that_compare_lose_no_update_to_a_kill(server: Server, store: EtcdStore) -> None:
    await put(store, "count", b"0")

    async def add(times: int) -> None:
        while times:
            try:
                seen = await store.get("count")
                assert seen is not None
                new = Put("count", b"%d" % (int(seen.value) + 1))
                times -= await store.commit([Condition("count", modified=seen.modified)], [new]) is not None
            except StoreUnavailable:
                continue

    async def kill() -> None:
        for share in (0.3, 0.6):
            while int((await store.get("count")).value) < share * 200:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
            server.kill()

    async with asyncio.timeout(60):
        await asyncio.gather(kill(), *(add(25) for _ in range(8)))
    found = await store.get("count")
    assert found is not None
    assert found.value == b"200"


async def test_a_lease_outlives_a_server_that_is_killed_and_is_kept_on(server: Server, store: EtcdStore) -> None:
    lease = await store.grant(5)
    await store.commit([], [Put("leased", b"", lease)])
    server.kill()
    async with asyncio.timeout(20):
        while True:
            try:
                assert await store.keep_alive(lease) > 3
                break
            except StoreUnavailable:
                await asyncio.sleep(0.05)
    assert await store.get("leased") is not None
    await store.revoke(lease)
    with pytest.raises(LeaseLost):
        await store.keep_alive(lease)


# Restarts and outages


async def test_the_same_store_goes_on_after_a_restart_on_the_same_folder(server: Server, store: EtcdStore) -> None:
    revision = await put(store, "a", b"1")
    watch = store.watch("", revision + 1)
    coming = asyncio.ensure_future(anext(watch))
    await server.stop()
    impatient = EtcdStore([server.target], timeout=0.3)
    with pytest.raises(StoreUnavailable):
        await impatient.get("a")
    with pytest.raises(StoreUnavailable):
        await impatient.commit([], [Put("b", b"too early")])
    await impatient.close()
    waiting = asyncio.ensure_future(put(store, "c", b"in time"))
    await server.start()
    assert await waiting == revision + 1
    assert [i.key for i in (await store.page("", "\x7f")).items] == ["a", "c", "first"]
    async with asyncio.timeout(10):
        assert [(c.key, c.value) for c in (await coming).changes] == [("c", b"in time")]


async def test_a_watch_that_was_cut_off_while_history_was_compacted_says_so(server: Server, store: EtcdStore) -> None:
    revision = await put(store, "a", b"0")
    watch = store.watch("a", revision)
    assert (await anext(watch)).revision == revision
    server.kill()  # and with it the connection of the watch, which nobody reads just now
    for n in range(5):
        revision = await put(store, "a", b"%d" % n)
    await store.compact(revision)
    async with asyncio.timeout(10):
        with pytest.raises(StoreCompacted):
            await anext(watch)
        assert (await anext(store.watch("a", revision))).revision == revision


async def test_a_watch_too_slow_for_a_compaction_loses_nothing_before_it_says_so(
    server: Server, store: EtcdStore
) -> None:
    """More than fits into all buffers on the way is written, and forgotten, before the watch reads on."""
    first = await put(store, "big", b"0")
    watch = store.watch("big", first)
    assert (await anext(watch)).revision == first
    for n in range(1, 300):
        last = await put(store, "big", b"%d " % n + bytes(100_000))
    await store.compact(last)
    numbers, gone = [0], False
    async with asyncio.timeout(20):
        while not gone:
            try:
                numbers += [int((c.value or b"").split(b" ")[0]) for c in (await anext(watch)).changes]
            except StoreCompacted:
                gone = True
    assert numbers == list(range(len(numbers)))
    assert len(numbers) < 300


# Set back


@pytest.fixture
async def backup(server: Server, store: EtcdStore, tmp_path: Path) -> Path:
    """The data as they were after a few changes."""
    for n in range(5):
        await put(store, "early", b"%d" % n)
    await server.stop()
    shutil.copytree(server.folder / "data", tmp_path / "backup")
    await server.start()
    return tmp_path / "backup"


async def test_a_server_that_was_set_back_is_noticed(server: Server, store: EtcdStore, backup: Path) -> None:
    revision = await put(store, "early", b"late")
    watch = store.watch("", revision)
    await anext(watch)
    await put(store, "early", b"later")
    await anext(watch)
    await server.set_back(backup)
    async with asyncio.timeout(20):
        with pytest.raises(StoreRewound, match="was at"):
            await anext(watch)
    found = await store.get("early")
    assert found is not None
    assert found.value == b"4"


async def test_the_same_store_writes_on_after_the_server_was_set_back(
    server: Server, store: EtcdStore, backup: Path
) -> None:
    await asyncio.gather(*(put(store, f"late/{n}", b"") for n in range(20)))
    await server.set_back(backup)
    made = await asyncio.gather(
        *(store.commit([Condition(f"late/{n}", modified=0)], [Put(f"late/{n}", b"anew")]) for n in range(20))
    )
    assert None not in made
    found = await store.get_many([f"late/{n}" for n in range(20)])
    assert [kv.value for kv in found if kv is not None] == [b"anew"] * 20


async def test_a_feed_tells_its_subscribers_that_the_server_was_set_back(
    server: Server, store: EtcdStore, backup: Path
) -> None:
    feed = Feed(store)
    running = asyncio.create_task(feed.run())
    await feed.started.wait()
    with feed.subscribe("early") as subscription:
        revision = await put(store, "early", b"late")
        async with asyncio.timeout(20):
            assert (await subscription.next()).revision == revision
            await server.set_back(backup)
            with pytest.raises(Lost):
                await subscription.next()
    assert feed.restarts == 1
    with feed.subscribe("early") as subscription:
        await put(store, "early", b"anew")
        async with asyncio.timeout(20):
            assert [c.value for c in (await subscription.next()).changes] == [b"anew"]
    running.cancel()
