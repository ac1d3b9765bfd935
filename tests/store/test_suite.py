"""What `backend.store.base` promises, held against every store there is: reading, committing, leases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from backend.errors import LeaseLost, StoreError, ValueTooLarge
from backend.store.base import MOST_CHANGES, Condition, Delete, KeyValue, Put, Store
from tests.store.conftest import Subject

MIB = 1 << 20


async def put(store: Store, **values: str) -> int:
    """Write each in one transaction: its revision."""
    revision = await store.commit([], [Put(key, value.encode()) for key, value in values.items()])
    assert revision is not None
    return revision


async def read(store: Store, prefix: str = "") -> dict[str, str]:
    """All that there is, as text."""
    return {i.key: i.value.decode() async for page in store.scan(prefix) for i in page.items}


async def must(store: Store, key: str) -> KeyValue:
    found = await store.get(key)
    assert found is not None
    return found


# Reading


async def test_a_key_that_was_never_written_is_none(store: Store) -> None:
    assert await store.get("a") is None


async def test_a_key_knows_when_it_was_made_and_when_it_changed(store: Store) -> None:
    first = await put(store, a="1")
    assert await store.get("a") == KeyValue("a", b"1", first, first)
    second = await put(store, a="2")
    assert second > first
    assert await store.get("a") == KeyValue("a", b"2", first, second)


async def test_a_key_that_was_deleted_and_made_anew_is_another(store: Store) -> None:
    first = await put(store, a="1")
    await store.commit([], [Delete("a")])
    assert await store.get("a") is None
    again = await put(store, a="1")
    assert (await must(store, "a")).created == again > first


async def test_many_keys_come_in_the_order_asked_for(store: Store) -> None:
    await put(store, a="1", b="2")
    found = await store.get_many(["b", "none", "a", "b"])
    assert [i and i.value for i in found] == [b"2", None, b"1", b"2"]


async def test_more_keys_than_fit_into_one_transaction_are_read_as_well(store: Store) -> None:
    keys = [f"k{n:03}" for n in range(300)]
    for start in range(0, 300, 100):
        await put(store, **{key: key for key in keys[start : start + 100]})
    found = await store.get_many(keys)
    assert [i and i.value.decode() for i in found] == keys
    assert await store.get_many([]) == []


async def test_the_first_keys_of_many_prefixes(store: Store) -> None:
    await put(store, **{f"p{n:03}/{letter}": letter for n in range(40) for letter in "bac"})
    wanted = [f"p{n:03}/" for n in range(150)]
    found = await store.firsts(wanted, 2)
    assert found == [[f"{p}a", f"{p}b"] if p < "p040" else [] for p in wanted]
    assert await store.firsts([], 2) == []


async def test_a_page_has_its_start_and_not_its_end(store: Store) -> None:
    revision = await put(store, a="1", b="2", c="3", d="4")
    page = await store.page("b", "d")
    assert [i.key for i in page.items] == ["b", "c"]
    assert (page.revision, page.more, page.count) == (revision, False, 2)


@pytest.mark.parametrize(("descending", "shown"), [(False, "ab"), (True, "dc")])
async def test_a_page_with_a_limit_says_that_there_is_more(store: Store, descending: bool, shown: str) -> None:
    await put(store, d="4", b="2", a="1", c="3")
    page = await store.page("a", "z", limit=2, descending=descending)
    assert "".join(i.key for i in page.items) == shown
    assert (page.more, page.count) == (True, 4)
    assert not (await store.page("a", "z", limit=4, descending=descending)).more


async def test_a_page_may_leave_out_values_or_items(store: Store) -> None:
    revision = await put(store, a="1", b="2")
    assert (await store.page("a", "z", keys_only=True)).items == [
        KeyValue("a", b"", revision, revision),
        KeyValue("b", b"", revision, revision),
    ]
    counted = await store.page("a", "z", limit=1, count_only=True)
    assert (counted.items, counted.count, counted.more) == ([], 2, False)


async def test_a_page_shows_how_it_was_at_a_revision(store: Store) -> None:
    old = await put(store, a="1", b="1", d="1")
    before = (await store.page("", "z", revision=old)).items
    await put(store, a="2", c="2")
    await store.commit([], [Delete("b")])
    page = await store.page("", "z", revision=old)
    assert page.items == before
    assert (page.revision, page.count) == (old, 3)
    assert await read(store) == {"a": "2", "c": "2", "d": "1"}


@pytest.mark.parametrize(("start", "end"), [("x", "z"), ("c", "a"), ("a", "a")])
async def test_an_empty_range_is_an_empty_page(store: Store, start: str, end: str) -> None:
    await put(store, a="1", b="2")
    page = await store.page(start, end)
    assert (page.items, page.count, page.more) == ([], 0, False)


async def test_a_revision_that_has_not_come_yet_cannot_be_read(store: Store) -> None:
    revision = await put(store, a="1")
    with pytest.raises(StoreError, match="future"):
        await store.page("a", "z", revision=revision + 1000)


@pytest.mark.parametrize("size", [1, 2, 5, 10, 11])
async def test_a_scan_is_all_of_one_moment_in_pages(store: Store, size: int) -> None:
    await put(store, **{f"k/{n}": "old" for n in range(10)}, other="x")
    seen: list[KeyValue] = []
    revisions = set()
    async for page in store.scan("k/", page=size):
        assert len(page.items) <= size
        seen += page.items
        revisions.add(page.revision)
        await store.commit([], [Put("k/5", b"new"), Put(f"k/{len(seen)}x", b"new"), Delete("k/9")])
    assert [i.key for i in seen] == [f"k/{n}" for n in range(10)]
    assert {i.value for i in seen} == {b"old"}
    assert len(revisions) == 1


async def test_a_scan_of_everything_and_of_nothing(store: Store) -> None:
    assert await read(store) == {}
    await put(store, a="1", b="2")
    assert await read(store) == {"a": "1", "b": "2"}
    assert await read(store, "c") == {}


# Committing

Make = Callable[[KeyValue | None], Condition]


@pytest.mark.parametrize(
    ("condition", "there", "holds"),
    [
        (lambda _: Condition("a", modified=0), False, True),
        (lambda _: Condition("a", modified=0), True, False),
        (lambda kv: Condition("a", modified=kv.modified), True, True),
        (lambda kv: Condition("a", modified=kv.modified - 1), True, False),
        (lambda kv: Condition("a", modified=kv.created), True, False),
        (lambda _: Condition("a", modified=1), False, False),
        (lambda kv: Condition("a", created=kv.created), True, True),
        (lambda kv: Condition("a", created=kv.modified), True, False),
        (lambda _: Condition("a", created=0), False, True),
        (lambda _: Condition("a", created=7), False, False),
    ],
)
async def test_a_commit_is_made_only_if_its_condition_holds(
    store: Store, condition: Make, there: bool, holds: bool
) -> None:
    if there:
        await put(store, a="1")
        await put(store, a="2")
    revision = await store.commit([condition(await store.get("a"))], [Put("b", b"made")])
    found = await store.get("b")
    if holds:
        assert found is not None
        assert found.modified == revision
    else:
        assert revision is None
        assert found is None


async def test_a_fence_holds_until_its_key_is_another(store: Store) -> None:
    created = await put(store, leader="one")
    fence = Condition("leader", created=created)
    await put(store, leader="one, still")
    assert await store.commit([fence], [Put("x", b"1")])
    await store.commit([], [Delete("leader")])
    assert await store.commit([fence], [Put("x", b"2")]) is None
    await put(store, leader="two")
    assert await store.commit([fence], [Put("x", b"3")]) is None
    assert (await must(store, "x")).value == b"1"


async def test_one_condition_that_does_not_hold_stops_all_changes(store: Store) -> None:
    revision = await put(store, a="1", b="1")
    conditions = [Condition("a", modified=revision), Condition("c", modified=0), Condition("b", modified=0)]
    assert await store.commit(conditions, [Put("a", b"2"), Put("c", b"2"), Delete("b")]) is None
    assert await read(store) == {"a": "1", "b": "1"}


async def test_all_changes_of_a_commit_are_one_revision(store: Store) -> None:
    await put(store, old="1")
    keys = [f"k{n:03}" for n in range(MOST_CHANGES - 1)]
    revision = await store.commit([], [*(Put(key, b"") for key in keys), Delete("old")])
    page = await store.page("", "z")
    assert [i.key for i in page.items] == keys
    assert {i.modified for i in page.items} == {revision}


async def test_too_many_changes_are_refused_whole(store: Store) -> None:
    with pytest.raises(ValueTooLarge):
        await store.commit([], [Put(f"k{n}", b"") for n in range(MOST_CHANGES + 1)])
    assert await read(store) == {}


@pytest.mark.parametrize(
    "changes",
    [
        [Put("a/1", b"1"), Put("a/1", b"2")],
        [Put("b", b"1"), Put("a/1", b"1"), Delete("a/1")],
        [Delete("a/", prefix=True), Put("a/1", b"1")],
    ],
)
async def test_a_key_twice_in_a_commit_is_refused_whole(store: Store, changes: list[Put | Delete]) -> None:
    await store.commit([], [Put("a/0", b"0")])
    with pytest.raises(StoreError, match="duplicate key"):
        await store.commit([], changes)
    assert await read(store) == {"a/0": "0"}


async def test_deletes(store: Store) -> None:
    await store.commit([], [Put(key, b"") for key in ("a", "a/", "a/1", "a/1/2", "a/z", "a0", "b")])
    assert await store.commit([], [Delete("none"), Delete("b")])
    await store.commit([], [Delete("a/", prefix=True), Put("a1", b"")])
    assert list(await read(store)) == ["a", "a0", "a1"]


async def test_any_bytes_are_a_value(store: Store) -> None:
    values = {"empty": b"", "bytes": bytes(range(256)), "large": bytes(1_500_000)}
    for key, value in values.items():
        await store.commit([], [Put(key, value)])
    assert {key: (await must(store, key)).value for key in values} == values


@pytest.mark.parametrize(
    "sizes", [[5 * MIB], [20 * MIB], [MIB] * 6], ids=["a value", "a value beyond any message", "a transaction"]
)
async def test_what_is_too_large_is_refused_whole(store: Store, sizes: list[int]) -> None:
    with pytest.raises(ValueTooLarge):
        await store.commit([], [Put(f"k{n}", bytes(size)) for n, size in enumerate(sizes)])
    assert await read(store) == {}
    await put(store, a="goes on")
    assert await read(store) == {"a": "goes on"}


async def test_of_many_writers_exactly_one_makes_a_key(store: Store) -> None:
    made = await asyncio.gather(
        *(store.commit([Condition("a", modified=0)], [Put("a", str(n).encode())]) for n in range(40))
    )
    winners = [n for n, revision in enumerate(made) if revision is not None]
    assert len(winners) == 1
    assert await store.get("a") == KeyValue("a", str(winners[0]).encode(), made[winners[0]] or 0, made[winners[0]] or 0)


async def test_writers_that_compare_what_they_read_lose_no_update(store: Store) -> None:
    await put(store, count="0")

    async def add(times: int) -> None:
        while times:
            seen = await must(store, "count")
            changed = Put("count", str(int(seen.value) + 1).encode())
            times -= await store.commit([Condition("count", modified=seen.modified)], [changed]) is not None

    await asyncio.gather(*(add(10) for _ in range(8)))
    assert await read(store) == {"count": "80"}


# Leases


async def test_a_key_goes_with_its_lease(store: Store) -> None:
    lease = await store.grant(60)
    revision = await store.commit([], [Put("a", b"1", lease), Put("b", b"2", lease), Put("c", b"3")])
    assert revision is not None
    await store.revoke(lease)
    assert await read(store) == {"c": "3"}
    async with asyncio.timeout(10):
        gone = await anext(store.watch("", revision + 1))
    assert sorted((c.key, c.value) for c in gone.changes) == [("a", None), ("b", None)]
    await store.revoke(lease)  # gone already


async def test_a_lease_that_nobody_refreshes_expires(subject: Subject) -> None:
    store = subject.store
    lease = await store.grant(1)
    revision = await store.commit([], [Put("a", b"1", lease)])
    assert revision is not None
    gone = asyncio.ensure_future(anext(store.watch("", revision + 1)))
    await subject.elapse(1)
    async with asyncio.timeout(20):
        assert [(c.key, c.value) for c in (await gone).changes] == [("a", None)]
    with pytest.raises(LeaseLost):
        await store.keep_alive(lease)


async def test_a_lease_that_is_refreshed_stays(subject: Subject) -> None:
    store = subject.store
    lease = await store.grant(2)
    await store.commit([], [Put("a", b"1", lease)])
    for _ in range(4):
        await subject.elapse(0.7)
        assert 1.5 <= await store.keep_alive(lease) <= 3
    assert await read(store) == {"a": "1"}


async def test_a_lease_that_there_never_was(store: Store) -> None:
    with pytest.raises(LeaseLost):
        await store.keep_alive(123)
    with pytest.raises(LeaseLost):
        await store.commit([], [Put("a", b"1"), Put("b", b"2", 123)])
    assert await read(store) == {}
    await store.revoke(123)


@pytest.mark.parametrize("deleted", [False, True], ids=["written over", "deleted and written"])
async def test_a_key_written_anew_without_the_lease_outlives_it(store: Store, deleted: bool) -> None:
    lease = await store.grant(60)
    await store.commit([], [Put("a", b"1", lease)])
    if deleted:
        await store.commit([], [Delete("a")])
    await put(store, a="2")
    await store.revoke(lease)
    assert await read(store) == {"a": "2"}


async def test_how_the_store_is(store: Store) -> None:
    await put(store, a="1")
    health = await store.health()
    assert health.version
    assert 0 < health.in_use <= health.size
    assert not health.full
