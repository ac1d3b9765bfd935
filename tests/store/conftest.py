"""What the tests of the store share: a real etcd, and what is put through the suite."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import Struct

from backend.clock import FakeClock
from backend.store.base import Store
from backend.store.memory import MemoryStore
from backend.store.server_binary import EtcdBinary
from tests.etcd_fixture import etcd_binary, etcd_store, etcd_target, pytest_collection_finish
from tests.store.server import Server

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


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for an etcd, whose path is short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="kh-etcd-"))
    yield path / "etcd"
    shutil.rmtree(path)


@pytest.fixture
async def server(folder: Path, etcd_binary: EtcdBinary) -> AsyncIterator[Server]:
    """An etcd for this test alone."""
    server = Server(folder, etcd_binary)
    await server.start()
    yield server
    await server.stop()


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
