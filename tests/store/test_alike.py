"""The store in memory stands for etcd in other tests: whatever is done to both, they answer alike."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from backend.errors import StoreError
from backend.store.base import Condition, Delete, Put, Store
from backend.store.etcd import EtcdStore
from backend.store.memory import MemoryStore

pytestmark = pytest.mark.etcd

KEYS = ["a", "a/", "a/1", "a/2", "a0", "b", "b/1"]
History = list[list[tuple[str, bytes | None]]]


async def condition(random: Random, store: Store) -> Condition:
    """One that may hold or not, from what the store itself says."""
    key = random.choice(KEYS)
    found = await store.get(key)
    modified, created = (found.modified, found.created) if found else (0, 0)
    kind = random.randrange(5)
    if kind < 2:
        return Condition(key, modified=modified if kind else 0)
    if kind < 4:
        return Condition(key, created=created if kind == 2 else 0)
    return Condition(key, modified=created)


def change(random: Random) -> Put | Delete:
    key = random.choice(KEYS)
    if random.random() < 0.6:
        return Put(key, b"%d" % random.randrange(100))
    return Delete(key, prefix=random.random() < 0.4)


async def act(random: Random, store: Store) -> str:
    """One commit: what came of it."""
    conditions = [await condition(random, store) for _ in range(random.randrange(3))]
    changes = [change(random) for _ in range(random.randrange(1, 4))]
    try:
        return "made" if await store.commit(conditions, changes) is not None else "conflict"
    except StoreError as error:
        return "duplicate key" if "duplicate key" in error.message else error.message


async def history(store: Store, since: int) -> History:
    """All changes from then on, revision by revision; the order within one does not matter."""
    last = await store.commit([], [Put("~end", b"")])
    revisions: dict[int, list[tuple[str, bytes | None]]] = {}
    async with asyncio.timeout(20):
        async for batch in store.watch("", since):
            for c in batch.changes:
                revisions.setdefault(c.modified, []).append((c.key, c.value))
            if batch.revision == last:
                break
    return [sorted(changes, key=str) for _, changes in sorted(revisions.items())]


async def state(store: Store) -> list[tuple[str, bytes, bool]]:
    """What there is, and whether it was changed since it was made."""
    return [(i.key, i.value, i.modified > i.created) async for page in store.scan("", page=3) for i in page.items]


@pytest.mark.parametrize("seed", range(8))
async def test_the_same_commits_come_to_the_same(etcd_store: EtcdStore, seed: int) -> None:
    memory = MemoryStore()
    stores: list[Store] = [memory, etcd_store]
    since = [(await store.page("", "z")).revision + 1 for store in stores]
    outcomes = []
    for step in range(60):
        memory_says, etcd_says = [await act(Random(seed * 1000 + step), store) for store in stores]
        assert memory_says == etcd_says, f"step {step}"
        outcomes.append(etcd_says)
    assert set(outcomes) == {"made", "conflict", "duplicate key"}
    assert await state(memory) == await state(etcd_store)
    assert await history(memory, since[0]) == await history(etcd_store, since[1])
