"""What `backend.store.base` promises of watches and of compaction, held against every store there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from backend.errors import StoreCompacted, StoreError
from backend.store.base import Batch, Change, Delete, Put, Store


async def commit(store: Store, *changes: Put | Delete) -> int:
    revision = await store.commit([], list(changes))
    assert revision is not None
    return revision


async def take(watch: AsyncIterator[Batch], changes: int) -> list[Batch]:
    """Batches, until they hold so many changes."""
    taken: list[Batch] = []
    async with asyncio.timeout(20):
        while changes > 0:
            taken.append(await anext(watch))
            changes -= len(taken[-1].changes)
    return taken


def flat(batches: list[Batch]) -> list[Change]:
    return [change for batch in batches for change in batch.changes]


async def nothing_more(store: Store, *watches: AsyncIterator[Batch]) -> None:
    """The next thing that each watch shows is something that happens now."""
    last = await commit(store, Put("k/last", b"last"))
    for watch in watches:
        assert flat(await take(watch, 1)) == [Change("k/last", b"last", last, last)]


async def test_a_watch_shows_every_change_since_its_revision(store: Store) -> None:
    await commit(store, Put("k/a", b"before"))
    first = await commit(store, Put("k/a", b"1"))
    second = await commit(store, Put("k/b", b"2"))
    third = await commit(store, Delete("k/a"))
    watch = store.watch("k/", first)
    changes = flat(await take(watch, 3))
    assert [(c.key, c.value, c.modified) for c in changes] == [
        ("k/a", b"1", first),
        ("k/b", b"2", second),
        ("k/a", None, third),
    ]
    assert changes[0].created < first
    assert changes[1].created == second
    await nothing_more(store, watch)


async def test_a_watch_shows_only_what_has_its_prefix(store: Store) -> None:
    start = await commit(store, *(Put(key, b"") for key in ("k", "k/", "k/a", "k0", "j/k/a", "l")))
    watch = store.watch("k/", start)
    assert [c.key for c in flat(await take(watch, 2))] == ["k/", "k/a"]
    await commit(store, Put("l", b""))
    await nothing_more(store, watch)


async def test_a_revision_is_never_split(store: Store) -> None:
    start = await commit(store, *(Put(f"k/{n:03}", bytes(10_000)) for n in range(100)))
    batches = await take(store.watch("", start), 1)
    assert [c.key for c in batches[0].changes[:100]] == [f"k/{n:03}" for n in range(100)]
    assert {c.modified for c in batches[0].changes} == {start} == {batches[0].revision}


async def test_deleting_a_prefix_is_seen_key_by_key(store: Store) -> None:
    await commit(store, *(Put(f"k/{n}", b"") for n in range(5)), Put("other", b""))
    revision = await commit(store, Delete("k/", prefix=True))
    changes = flat(await take(store.watch("", revision), 5))
    assert sorted((c.key, c.value, c.modified) for c in changes) == [(f"k/{n}", None, revision) for n in range(5)]


async def test_what_did_not_change_is_not_seen(store: Store) -> None:
    start = await commit(store, Put("k/a", b"1"))
    await store.commit([], [Delete("k/none")])
    watch = store.watch("", start + 1)
    await nothing_more(store, watch)


async def test_a_watch_on_what_is_to_come_waits(store: Store) -> None:
    start = await commit(store, Put("k/a", b"1"))
    watch = store.watch("k/", start + 1)
    coming = asyncio.ensure_future(anext(watch))
    done, _ = await asyncio.wait({coming}, timeout=0.05)
    assert not done
    revision = await commit(store, Put("k/b", b"2"))
    async with asyncio.timeout(10):
        assert await coming == Batch(revision, [Change("k/b", b"2", revision, revision)])


async def test_nothing_is_lost_or_repeated_while_many_write(store: Store) -> None:
    start = await commit(store, Put("k/start", b""))
    watches = [store.watch("k/", start + 1) for _ in range(2)]

    async def write(writer: int) -> list[tuple[int, str]]:
        return [(await commit(store, Put(f"k/{writer}/{n}", b"")), f"k/{writer}/{n}") for n in range(40)]

    taking = [asyncio.ensure_future(take(watch, 8 * 40)) for watch in watches]
    made = await asyncio.gather(*(write(writer) for writer in range(8)))
    seen = await asyncio.gather(*taking)
    wanted = sorted(entry for writer in made for entry in writer)
    for batches in seen:
        assert [(c.modified, c.key) for c in flat(batches)] == wanted
    await nothing_more(store, *watches)


@pytest.mark.parametrize("stop_after", [1, 7, 19])
async def test_a_watch_begun_anew_behind_the_last_batch_goes_on_without_a_gap(store: Store, stop_after: int) -> None:
    start = await commit(store, Put("k/00", b""))
    for n in range(1, 20):
        await commit(store, Put(f"k/{n:02}", b""), Put("other", b""))
    seen = await take(store.watch("k/", start), 1)
    while len(flat(seen)) < stop_after:
        seen += await take(store.watch("k/", seen[-1].revision + 1), 1)
    seen += await take(store.watch("k/", seen[-1].revision + 1), 20 - len(flat(seen))) if len(flat(seen)) < 20 else []
    assert [c.key for c in flat(seen)] == [f"k/{n:02}" for n in range(20)]


async def test_what_is_before_a_compaction_is_gone_and_says_so(store: Store) -> None:
    old = await commit(store, Put("k/a", b"1"))
    middle = await commit(store, Put("k/a", b"2"))
    newest = await commit(store, Put("k/a", b"3"))
    await store.compact(newest)
    for revision in (old, middle):
        with pytest.raises(StoreCompacted):
            await take(store.watch("k/", revision), 1)
        with pytest.raises(StoreCompacted):
            await store.page("k/", "k0", revision=revision)
    assert [c.value for c in flat(await take(store.watch("k/", newest), 1))] == [b"3"]
    assert [i.value for i in (await store.page("k/", "k0", revision=newest)).items] == [b"3"]
    await nothing_more(store, store.watch("k/", newest + 1))


async def test_a_watch_that_is_up_to_date_does_not_notice_a_compaction(store: Store) -> None:
    start = await commit(store, Put("k/a", b"1"))
    watch = store.watch("k/", start)
    await take(watch, 1)
    await store.compact(start)
    await nothing_more(store, watch)


async def test_compacting_again_or_less_changes_nothing(store: Store) -> None:
    first = await commit(store, Put("k/a", b"1"))
    second = await commit(store, Put("k/a", b"2"))
    await store.compact(second)
    await store.compact(second)
    await store.compact(first)
    with pytest.raises(StoreCompacted):
        await store.page("k/", "k0", revision=first)


async def test_the_future_cannot_be_compacted(store: Store) -> None:
    revision = await commit(store, Put("k/a", b"1"))
    with pytest.raises(StoreError, match="future"):
        await store.compact(revision + 1000)
