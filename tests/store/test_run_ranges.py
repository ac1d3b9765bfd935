"""Runs are found in ranges of keys, however those are asked for: the same ones, in the same order."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from backend.api.run_ranges import Bounds, Range, in_order, mirrored_of
from backend.run.ids import mirror, moment_of, new_id
from backend.store import keys
from backend.store.base import Put
from backend.store.memory import MemoryStore

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PREFIX = keys.by_pipeline("p")


async def filled(ids: list[str]) -> MemoryStore:
    store = MemoryStore()
    for begin in range(0, len(ids), 40):
        changes = [Put(keys.by_pipeline(name, i), b"") for i in ids[begin : begin + 40] for name in ("p", "o", "q")]
        await store.commit([], list(changes))
    return store


def some(count: int, seed: int) -> list[str]:
    """Ids in bursts and with long gaps, newest first; the newest of them has still to come."""
    random.seed(seed)
    moment, ids = NOW + timedelta(seconds=30), set[str]()
    while len(ids) < count:
        ids |= {new_id(moment) for _ in range(random.choice((1, 1, 1, 30)))}
        moment -= timedelta(seconds=random.choice((0.001, 1, 60, 86_400, 40 * 86_400)))
    return sorted(ids, key=mirror)


def range_of(bounds: Bounds, *, long: bool) -> Range:
    return Range(PREFIX, bounds, values=False, long=long, now=NOW)


async def found(store: MemoryStore, each: Range, last: str, size: int) -> list[str]:
    page = await each.read(store, last, size, 0)
    return [mirror(mirrored_of(kv.key)) async for kv in in_order([each.walk(store, page, size)])]


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("size", [1, 7, 500])
async def test_all_are_found_from_any_place_on(size: int, *, long: bool) -> None:
    ids = some(300, size)
    store = await filled(ids)
    assert await found(store, range_of(Bounds(), long=long), "", size) == ids
    for place in (0, 150, 299):
        assert await found(store, range_of(Bounds(), long=long), mirror(ids[place]), size) == ids[place + 1 :]


@pytest.mark.parametrize("long", [False, True])
async def test_bounds_leave_out_what_is_beyond_them(*, long: bool) -> None:
    ids = some(300, 1)
    store = await filled(ids)
    for place in (0, 10, 150, 299):
        bound = moment_of(ids[place])
        newer = await found(store, range_of(Bounds(oldest=bound), long=long), "", 50)
        older = await found(store, range_of(Bounds(newest=bound - timedelta(milliseconds=1)), long=long), "", 50)
        assert newer == [i for i in ids if moment_of(i) >= bound]
        assert newer + older == ids


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("number", [0, 1, 40, 1499, 1500, 4000])
async def test_so_many_are_skipped(number: int, *, long: bool) -> None:
    ids = some(1500, 2)
    store = await filled(ids)
    each = range_of(Bounds(), long=long)
    last, _ = await each.skip(store, "", number)
    assert await found(store, each, last, 100) == ids[number:]
    last, _ = await each.skip(store, mirror(ids[9]), number)
    assert await found(store, each, last, 100) == ids[10 + number :]


async def test_a_place_that_is_none_is_no_error() -> None:
    store = await filled(some(20, 3))
    for last in ("!", "zzz", "~", "ä" * 16):
        await range_of(Bounds(), long=True).read(store, last, 10, 0)
