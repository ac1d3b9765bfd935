"""Transactions that wait are made as one, and each is answered as if it had been made alone."""

from __future__ import annotations

import asyncio

import pytest

from backend.errors import StoreError, StoreFull, StoreUnavailable
from backend.store.base import MOST_CHANGES, Condition, Delete, KeyValue, Put
from backend.store.gathering import Gathering, Reads


class Etcd:
    """Makes transactions when it is told to, and notes which."""

    def __init__(self) -> None:
        self.made: list[list[str]] = []
        self.revisions = {"fence": 1}
        self.revision = 1
        self.errors: dict[tuple[str, ...], Exception] = {}  # of transactions that write these keys
        self.open = asyncio.Event()

    async def make(self, conditions: list[Condition], changes: list[Put | Delete]) -> int | None:
        keys = tuple(change.key for change in changes)
        self.made.append(list(keys))
        await self.open.wait()
        if error := self.errors.get(keys):
            raise error
        if any(self.revisions.get(c.key, 0) != c.modified for c in conditions):
            return None
        self.revision += 1
        self.revisions |= {change.key: self.revision for change in changes}
        return self.revision


FENCE = Condition("fence", modified=1)


Wanted = tuple[list[Condition], list[Put | Delete]]


def new(key: str) -> Wanted:
    return [FENCE, Condition(key, modified=0)], [Put(key, b"x")]


async def ask(gathering: Gathering, *wanted: Wanted) -> list[asyncio.Task[int | None]]:
    """The first is under way when the others are asked for."""
    first = asyncio.create_task(gathering.make(*wanted[0]))
    for _ in range(3):
        await asyncio.sleep(0)
    others = [asyncio.create_task(gathering.make(*each)) for each in wanted[1:]]
    await asyncio.sleep(0)
    return [first, *others]


async def test_what_waits_is_made_as_one() -> None:
    etcd = Etcd()
    gathering = Gathering(etcd.make)
    tasks = await ask(gathering, *(new(f"k{n}") for n in range(11)))
    etcd.open.set()
    revisions = await asyncio.gather(*tasks)
    assert etcd.made == [["k0"], [f"k{n}" for n in range(1, 11)]]
    assert revisions == [2] + [3] * 10


async def test_one_that_does_not_hold_leaves_the_others_be() -> None:
    etcd = Etcd()
    gathering = Gathering(etcd.make)
    etcd.revisions["k3"] = 1
    tasks = await ask(gathering, *(new(f"k{n}") for n in range(5)))
    etcd.open.set()
    revisions = await asyncio.gather(*tasks)
    assert revisions[3] is None
    assert None not in revisions[:3] + revisions[4:]
    assert etcd.made.count(["k4"]) == 1


async def test_what_reads_or_writes_the_same_is_made_apart() -> None:
    etcd = Etcd()
    gathering = Gathering(etcd.make)
    reader = ([Condition("k2", modified=0)], list[Put | Delete]([Put("other", b"")]))
    tasks = await ask(gathering, new("k1"), new("k2"), new("k2"), reader, new("k3"))
    etcd.open.set()
    revisions = await asyncio.gather(*tasks)
    assert etcd.made == [["k1"], ["k2"], ["k2"], ["other", "k3"], ["other"], ["k3"]]
    assert [revisions[2], revisions[3]] == [None, None]
    assert revisions[4] is not None


async def test_no_more_than_fits() -> None:
    etcd = Etcd()
    gathering = Gathering(etcd.make)
    many = [([FENCE], list[Put | Delete]([Put(f"{n}/{i}", b"") for i in range(60)])) for n in range(4)]
    tasks = await ask(gathering, *many)
    etcd.open.set()
    await asyncio.gather(*tasks)
    assert max(len(made) for made in etcd.made) == 120 <= MOST_CHANGES


async def test_prefixes_are_deleted_alone() -> None:
    etcd = Etcd()
    gathering = Gathering(etcd.make)
    prefix = ([FENCE], list[Put | Delete]([Delete("k", prefix=True)]))
    tasks = await ask(gathering, new("a"), prefix, new("k1"))
    etcd.open.set()
    assert None not in await asyncio.gather(*tasks)
    assert etcd.made == [["a"], ["k"], ["k1"]]


@pytest.mark.parametrize("error", [StoreFull("full"), StoreError("refused")])
async def test_an_error_may_be_of_one_alone(error: Exception) -> None:
    etcd = Etcd()
    gathering = Gathering(etcd.make)
    tasks = await ask(gathering, new("a"), new("c"), new("d"))
    etcd.errors[("c", "d")] = error
    etcd.open.set()
    assert None not in await asyncio.gather(*tasks)
    assert etcd.made[-2:] == [["c"], ["d"]]


async def test_an_unknown_outcome_is_told_to_all_and_nothing_is_made_again() -> None:
    etcd = Etcd()
    gathering = Gathering(etcd.make)
    tasks = await ask(gathering, new("a"), new("c"), new("d"))
    etcd.errors[("c", "d")] = StoreUnavailable("gone")
    etcd.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[0] == 2
    assert [type(answer) for answer in answers[1:]] == [StoreUnavailable, StoreUnavailable]
    assert etcd.made == [["a"], ["c", "d"]]


async def test_who_gives_up_before_it_was_begun_has_nothing_made() -> None:
    etcd = Etcd()
    gathering = Gathering(etcd.make)
    tasks = await ask(gathering, new("a"), new("c"), new("d"))
    tasks[1].cancel()
    await asyncio.sleep(0)
    etcd.open.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ["d"] in etcd.made
    assert not any("c" in made for made in etcd.made)


async def test_keys_that_are_asked_for_together_are_read_together() -> None:
    asked: list[list[str]] = []
    open_ = asyncio.Event()

    async def read(keys: list[str]) -> list[KeyValue | None]:
        asked.append(keys)
        await open_.wait()
        if "bad" in keys:
            raise StoreError("refused")
        return [KeyValue(key, b"", 1, 1) if key != "none" else None for key in keys]

    reads = Reads(read)
    first = asyncio.create_task(reads.get("a"))
    for _ in range(3):
        await asyncio.sleep(0)
    others = [asyncio.create_task(reads.get(key)) for key in ("a", "b", "none", "b")]
    gone = asyncio.create_task(reads.get("b"))
    await asyncio.sleep(0)
    gone.cancel()
    open_.set()
    assert [kv.key if kv else None for kv in await asyncio.gather(first, *others)] == ["a", "a", "b", None, "b"]
    assert asked == [["a"], ["a", "b", "none"]]  # what is asked later may not be answered by what was read before
    with pytest.raises(StoreError):
        await reads.get("bad")
    assert await reads.get("none") is None
