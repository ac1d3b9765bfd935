"""The API on a socket, over a store in memory, with a real engine."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backend.clock import SystemClock
from backend.store.memory import MemoryStore
from tests.contract.service import Service


@pytest.fixture
def sockets() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kh") as folder:  # a socket's path must be short
        yield Path(folder)


@pytest.fixture
async def api(tmp_path: Path, sockets: Path) -> AsyncIterator[Service]:
    """The API without an engine: what is asked for is written down, and nothing runs."""
    service = Service(tmp_path, MemoryStore(SystemClock()))
    async with service.serving(sockets):
        yield service


@pytest.fixture
async def engine(api: Service) -> AsyncIterator[Service]:
    """The API with an engine behind it."""
    async with api.engine():
        yield api
