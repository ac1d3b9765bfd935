"""An etcd of our own is compacted before it is full, and when it is; nobody has to do it by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.clock import FakeClock
from backend.errors import StoreFull, StoreUnavailable
from backend.store import upkeep
from backend.store.base import Health
from backend.store.etcd import EtcdStore
from backend.store.memory import MemoryStore
from backend.store.server_binary import EtcdBinary
from backend.store.upkeep import EVERY, SELDOM, Upkeep, due
from tests.store.server import Server, put

START = datetime(2025, 3, 1, tzinfo=UTC)
MIB = 1 << 20


def health(size: int, in_use: int, quota: int = 1000, full: bool = False) -> Health:
    return Health("3.6.16", size, in_use, quota, full)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (health(100, 10), False),
        (health(760, 380), False),
        (health(760, 379), True),
        (health(750, 10), False),
        (health(990, 900), False),
        (health(1000, 900, full=True), True),
        (health(10, 10, full=True), True),
        (health(10**9, 10, quota=0), False),  # an etcd that does not tell its quota
        (health(10**9, 10, quota=0, full=True), True),
    ],
)
def test_when_it_is_due(given: Health, wanted: bool) -> None:
    assert due(given) is wanted


class Ailing(MemoryStore):
    """Says of itself what it is told to say."""

    def __init__(self, *says: Health | StoreUnavailable) -> None:
        super().__init__()
        self.says = list(says)
        self.compacted: list[int] = []

    async def health(self) -> Health:
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(said, StoreUnavailable):
            raise said
        return said

    async def compact(self, revision: int) -> None:
        self.compacted.append(revision)
        await super().compact(revision)


async def run(store: Ailing, times: int, pause: timedelta) -> None:
    """Let so many pauses pass."""
    clock = FakeClock(START)
    running = asyncio.create_task(Upkeep(store, clock).run())
    for _ in range(times):
        await asyncio.sleep(0)
        await clock.advance(pause.total_seconds())
    running.cancel()


async def test_a_store_that_is_well_is_left_alone() -> None:
    store = Ailing(health(100, 50))
    assert await Upkeep(store, FakeClock(START)).look() == EVERY
    assert store.compacted == []


async def test_one_that_is_full_of_history_is_compacted_to_now() -> None:
    store = Ailing(health(1000, 900, full=True), health(100, 100))
    revision = await put(store, "a", b"1")
    assert await Upkeep(store, FakeClock(START)).look() == EVERY
    assert store.compacted == [revision]


async def test_one_that_stays_full_is_tried_less_and_less_often() -> None:
    looks, pause, pauses = Upkeep(Ailing(health(1000, 900, full=True)), FakeClock(START)), EVERY, []
    for _ in range(8):
        pause = await looks.look(pause)
        pauses.append(int(pause / EVERY))
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    assert pause == SELDOM


async def test_one_that_is_away_is_looked_at_again() -> None:
    store = Ailing(StoreUnavailable("away"), health(1000, 900, full=True), health(100, 100))
    await run(store, 1, EVERY)
    assert len(store.compacted) == 1


@pytest.mark.etcd
@pytest.mark.slow
async def test_a_real_one_that_history_has_filled_takes_writes_again_by_itself(
    folder: Path, etcd_binary: EtcdBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "EVERY", timedelta(seconds=0.2))
    server = Server(folder, etcd_binary, quota=16 * MIB)
    await server.start()
    store = EtcdStore([server.target])
    full = 0
    try:
        async with asyncio.timeout(60):
            for n in range(64):
                while not await _written(store, n):
                    full += 1
                    await asyncio.sleep(0.05)
        assert full > 0
        assert due(await store.health()) is False
    finally:
        await store.close()
        await server.stop()


async def _written(store: EtcdStore, number: int) -> bool:
    try:
        await put(store, "a", b"%d" % number + bytes(MIB))
    except StoreFull:
        return False
    return True
