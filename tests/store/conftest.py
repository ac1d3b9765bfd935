"""What the tests of the store share: a real etcd, and what is put through the suite."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec import Struct

from backend.clock import FakeClock
from backend.store.base import Store
from backend.store.memory import MemoryStore
from tests.etcd_fixture import etcd_binary, etcd_store, etcd_target, pytest_collection_finish

__all__ = ["etcd_binary", "etcd_store", "etcd_target", "pytest_collection_finish"]


class Subject(Struct):
    """A store, and the time that it lives in."""

    store: Store
    clock: FakeClock | None = None  # None: real time

    async def elapse(self, seconds: float) -> None:
        """Let time pass: at once where it is turned by hand."""
        if self.clock is None:
            await asyncio.sleep(seconds)
        else:
            await self.clock.advance(seconds)


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each store that there is, in turn."""
    if request.param == "memory":
        clock = FakeClock(datetime(2025, 3, 1, tzinfo=UTC))
        return Subject(MemoryStore(clock), clock)
    return Subject(request.getfixturevalue("etcd_store"))


@pytest.fixture
def store(subject: Subject) -> Store:
    """Each store that there is, where time does not matter."""
    return subject.store
