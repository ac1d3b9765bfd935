"""An engine for each scenario, on a store in memory; faults of a real etcd have tests of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.clock import SystemClock
from backend.store.memory import MemoryStore
from tests.scenarios.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, MemoryStore(SystemClock()))
