"""A real etcd for tests: found, or built, as the daemon does it; one server for all tests of a process.

A `conftest.py` whose tests want it imports `etcd_binary`, `etcd_target`, `etcd_store` and `pytest_collection_finish`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from backend.errors import StoreError
from backend.store.base import Delete
from backend.store.embedded import EmbeddedEtcd
from backend.store.etcd import EtcdStore
from backend.store.server_binary import EtcdBinary, provide


@cache
def _provided() -> EtcdBinary | StoreError:
    configured = os.environ.get("KHANTUI_ETCD")
    try:
        return provide(lambda said: print(said, file=sys.__stderr__), Path(configured) if configured else None)
    except StoreError as error:
        return error


def pytest_collection_finish(session: pytest.Session) -> None:
    """Bring an etcd before the first test that needs one: building it takes longer than a test may."""
    if not session.config.option.collectonly and any(item.get_closest_marker("etcd") for item in session.items):
        _provided()


@pytest.fixture(scope="session")
def etcd_binary() -> EtcdBinary:
    """The etcd that `khantui up` would run. Without one the test is skipped, and says why."""
    found = _provided()
    if isinstance(found, StoreError):
        pytest.skip(f"no etcd: {found.message}; {found.hint}")
    return found


@pytest.fixture(scope="session")
def etcd_target(etcd_binary: EtcdBinary) -> Iterator[str]:
    """Where a running etcd is found. It lives in a thread with a loop of its own, since each test has another loop."""
    folder = Path(tempfile.mkdtemp(prefix="kh-etcd-"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="etcd of the tests")
    thread.start()

    def do(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(90)

    server = EmbeddedEtcd(folder, etcd_binary)
    try:
        do(server.start())
        do(server.ready())
        do(_answers(server.target))
        yield server.target
    finally:
        do(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        shutil.rmtree(folder)


async def _answers(target: str) -> None:
    """Wait until it has a leader (itself), which takes longer than to listen."""
    store = EtcdStore([target], timeout=30)
    await store.get("a")
    await store.close()


@pytest.fixture
async def etcd_store(etcd_target: str) -> AsyncIterator[EtcdStore]:
    """A store on a root that nobody used before, wiped afterwards."""
    store = EtcdStore([etcd_target], root=f"/test/{secrets.token_hex(6)}/")
    yield store
    await store.commit([], [Delete("", prefix=True)])
    await store.sweep()
    await store.close()
