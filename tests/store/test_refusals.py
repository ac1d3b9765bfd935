"""When etcd refuses: its quota is used up, or it does not know who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.errors import StoreFull
from backend.etcd_access import EtcdAccess
from backend.store.base import Condition, Delete, Put
from backend.store.calls import Denied, rpc
from backend.store.etcd import EtcdStore
from backend.store.server_binary import EtcdBinary
from tests.store.server import Server, put

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

MIB = 1 << 20


@pytest.fixture
async def server(folder: Path, etcd_binary: EtcdBinary) -> AsyncIterator[Server]:
    """One that is soon full."""
    server = Server(folder, etcd_binary, quota=16 * MIB)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def store(server: Server) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([server.target])
    yield store
    await store.close()


async def fill(store: EtcdStore) -> None:
    """Write until it refuses: soon behind its quota, which it looks at now and then."""
    with pytest.raises(StoreFull, match="space is used up") as error:
        await asyncio.wait_for(_write_on(store), 30)
    assert error.value.hint


async def _write_on(store: EtcdStore) -> None:
    for n in range(64):
        await put(store, f"k{n}", bytes(MIB))


async def test_a_full_store_says_so_is_read_only_and_recovers(store: EtcdStore) -> None:
    await fill(store)
    health = await store.health()
    assert health.full
    assert health.size >= health.in_use
    with pytest.raises(StoreFull):
        await store.grant(60)
    with pytest.raises(StoreFull):
        await store.commit([Condition("small", modified=0)], [Put("small", b""), Delete("k0")])

    first = await store.get("k0")
    assert first is not None
    assert await store.commit([Condition("k0", modified=first.modified + 1)], [Delete("k0")]) is None
    deleted = await store.commit([Condition("k0", modified=first.modified)], [Delete("k0")])
    assert deleted is not None
    assert await store.commit([], [Delete("k", prefix=True)])
    assert (await store.page("", "\x7f")).count == 0
    await store.compact(deleted + 1)

    health = await store.health()
    assert not health.full
    assert health.size < 8 << 20
    assert await put(store, "small", b"again")


async def test_an_etcd_that_is_full_can_be_started_again(server: Server, store: EtcdStore) -> None:
    await fill(store)
    server.kill()
    assert (await store.health()).full
    assert await store.get("k0") is not None


async def test_users_and_passwords(server: Server, store: EtcdStore) -> None:
    with pytest.raises(Exception, match="authentication is not enabled"):
        await EtcdStore([server.target], access=EtcdAccess(user="root", password="secret")).get("a")
    calls = store.calls
    await calls.call("auth", "UserAdd", rpc.AuthUserAddRequest(name="root", password="secret"))
    await calls.call("auth", "RoleAdd", rpc.AuthRoleAddRequest(name="root"))
    await calls.call("auth", "UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root"))
    await calls.call("auth", "AuthEnable", rpc.AuthEnableRequest())
    with pytest.raises(Denied):
        await store.get("a")
    wrong = EtcdStore([server.target], access=EtcdAccess(user="root", password="guessed"))
    with pytest.raises(Denied) as error:
        await wrong.get("a")
    assert "password" in error.value.hint
    right = EtcdStore([server.target], access=EtcdAccess(user="root", password="secret"))
    revision = await put(right, "a", b"1")
    watch = right.watch("", revision)
    await anext(watch)
    server.kill()  # it forgets who has logged in
    await put(right, "a", b"2")
    lease = await right.grant(10)
    assert await right.keep_alive(lease)
    async with asyncio.timeout(20):
        assert [c.value for c in (await anext(watch)).changes] == [b"2"]
    await right.close()
    await wrong.close()
