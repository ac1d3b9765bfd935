"""What is kept in mind of all runs is what there is of them, in the store's order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.run.ids import mirror, new_id
from backend.run.state import Run, RunState
from backend.store import keys, roster, run_table
from backend.store.base import Put
from backend.store.codec import encode
from backend.store.feed import Feed
from backend.store.memory import MemoryStore
from backend.store.records import change_run, create_run, delete_run
from backend.store.roster import Roster, Search, Verdict
from backend.store.run_table import Outlines, RunTable, Wanted

NOW = datetime(2026, 11, 25, tzinfo=UTC)
EVERY = Search(lambda _: Verdict.YES, every=True)


def mirrored(number: int) -> bytes:
    return mirror(new_id(NOW + timedelta(seconds=number), "seed")).encode()


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(1, 3)), max_size=200),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_a_table_is_a_sorted_mapping(changes: list[tuple[bool, int, int]], from_: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_table, "CHUNK", 4)
        table, there = RunTable(), dict[bytes, int]()
        for put, number, outline in changes:
            key = mirrored(number)
            if put:
                assert table.put(key, outline) == there.get(key)
                there[key] = outline
            else:
                assert table.remove(key) == there.pop(key, None)
            assert len(table) == len(there)
    last, end = mirrored(from_), mirrored(from_ // 2)
    for wanted, sure in ((Wanted({1, 3}, set(), ()), {1, 3}), (Wanted(set(), set(), (), every=True), {1, 2, 3})):
        fit = [key for key in sorted(there) if there[key] in sure]
        assert table.find(b"", b"~", wanted, 1000) == [key.decode() for key in fit]
        behind = [key.decode() for key in fit if last < key < end]
        assert table.find(last, end, wanted, size) == behind[:size]
        where, missing = table.skip(b"", wanted, size)
        assert missing == max(0, size - len(fit))
        if not missing:
            assert [key.encode() for key in table.find(where, b"~", wanted, 1000)] == fit[size:]


def test_a_word_may_be_in_an_id_of_those_that_are_in_doubt() -> None:
    table = RunTable()
    ids = [new_id(NOW + timedelta(seconds=n), "seed") for n in range(50)]
    for number, each in enumerate(ids):
        table.put(mirror(each).encode(), number % 2)
    word = ids[7][-4:]
    found = table.find(b"", b"~", Wanted({0}, {1}, [word.upper()]), 100)
    assert {mirror(each) for each in found} == {each for n, each in enumerate(ids) if n % 2 == 0 or word in each}


def test_texts_are_kept_once_and_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_table, "MOST_OUTLINES", 2)
    outlines = Outlines()
    a, b = outlines.take("a"), outlines.take("b")
    assert outlines.take("a") == a != b
    assert outlines.take("c") == run_table.UNKNOWN
    outlines.give_back(a)
    assert dict(outlines.numbers()) == {a: "a", b: "b"}
    outlines.give_back(a)
    c = outlines.take("c")
    assert dict(outlines.numbers()) == {b: "b", c: "c"}
    assert outlines.take("x" * (run_table.LONGEST + 1)) == run_table.UNKNOWN


def run_of(number: int) -> Run:
    moment = NOW + timedelta(seconds=number)
    return Run(new_id(moment, "seed"), f"p{number % 3}", 1, moment, created=moment)


async def create(store: MemoryStore, *runs: Run) -> None:
    for run in runs:
        conditions, changes = create_run(run)
        assert await store.commit(conditions, changes)


@asynccontextmanager
async def following(store: MemoryStore) -> AsyncIterator[Roster]:
    feed = Feed(store)
    each = Roster(store, feed)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(feed.run())]
        await feed.started.wait()
        running.append(tasks.create_task(each.run()))
        async with asyncio.timeout(5):
            while not each.complete:
                await asyncio.sleep(0.001)
        yield each
        for task in running:
            task.cancel()


def named(each: Roster, word: str = "") -> list[str]:
    search = Search(lambda text: Verdict.YES if word in text else Verdict.NO, every=not word)
    return [mirror(name) for name in each.find(search, "", "", 1000)]


async def test_it_knows_what_was_there_and_what_comes_changes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "PAGE", 4)
    store, runs = MemoryStore(), [run_of(n) for n in range(12)]
    await create(store, *runs[:10])
    async with following(store) as each:
        await create(store, *runs[10:])
        failed = replace(runs[4], state=RunState.FAILED, message="s: exit 1")
        await store.commit([], change_run(runs[4], failed))
        await store.commit([], [*delete_run(runs[5]), Put("removing/x", b"")])
        assert await each.current() >= store.written  # it waits for what this process has written
        left = [run.id for run in runs[::-1] if run != runs[5]]
        assert named(each) == left
        assert named(each, "exit 1") == [failed.id]
        assert named(each, "p1") == [i for i in left if i in {run.id for run in runs if run.pipeline == "p1"}]


async def test_what_cannot_be_read_is_a_candidate_for_everything() -> None:
    store, run = MemoryStore(), run_of(1)
    await store.commit([], [Put(keys.run(run.id), b"[]"), Put(keys.run(run_of(2).id), encode(run_of(2)))])
    async with following(store) as each:
        assert named(each, "nowhere") == [run.id]


async def test_of_very_many_only_the_newest_are_kept_in_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "PAGE", 5)
    monkeypatch.setattr(roster, "MOST_RUNS", 10)
    monkeypatch.setattr(roster, "CHUNK", 4)
    monkeypatch.setattr(run_table, "CHUNK", 4)
    store, runs = MemoryStore(), [run_of(n) for n in range(60)]
    await create(store, *runs[:30])
    async with following(store) as each:
        assert named(each) == [run.id for run in runs[29:19:-1]]
        assert mirror(each.floor) == runs[20].id
        await create(store, *runs[30:])
        await store.commit([], change_run(runs[0], replace(runs[0], state=RunState.FAILED)))
        await each.current()
        kept = named(each)
        assert 10 <= len(kept) <= 18
        assert kept == [run.id for run in runs[::-1]][: len(kept)]
        assert mirror(each.floor) == kept[-1]
