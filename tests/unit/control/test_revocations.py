"""Values of secrets that are given no more: whoever leads has the executor let go of each, once it can."""

from __future__ import annotations

import asyncio

import pytest

from backend.accounts.account import Account
from backend.accounts.grant import SecretRef
from backend.clock import SystemClock
from backend.control import revocations
from backend.control.revocations import Revocations
from backend.errors import ClusterUnavailable
from backend.executors.elsewhere import Elsewhere
from backend.store import keys
from backend.store.base import Put
from backend.store.codec import encode
from backend.store.feed import Feed
from backend.store.memory import MemoryStore


class Executor(Elsewhere):
    """Notes what it lets go of; the first time it cannot."""

    def __init__(self) -> None:
        super().__init__({})
        self.revoked: list[SecretRef] = []
        self.retired: list[str] = []
        self.busy = True
        self.away = True

    async def revoke(self, ref: SecretRef) -> None:
        if self.away:
            self.away = False
            raise ClusterUnavailable("the cluster is away")
        self.revoked.append(ref)

    async def retire(self, account: str) -> bool:
        if account == "loader" and self.busy:
            self.busy = False
            return False
        self.retired.append(account)
        return True


async def test_each_is_let_go_of_once_it_can_be() -> None:
    store, executor = MemoryStore(SystemClock()), Executor()
    feed = Feed(store)
    await store.commit([], [Put(keys.revoked("token", "v1"), b"")])
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(feed.run())]
        await feed.started.wait()
        running.append(tasks.create_task(Revocations(store, feed, executor, list).run()))
        while executor.away:
            await asyncio.sleep(0)
        await store.commit([], [Put(keys.revoked("token", "v2"), b""), Put(keys.revoked("key", "v1"), b"")])
        prefix = keys.REVOKED
        while (await store.page(prefix, keys.after(prefix), count_only=True)).count:
            await asyncio.sleep(0)
        for task in running:
            task.cancel()
    assert sorted(executor.revoked) == [SecretRef("key", "v1"), SecretRef("token", "v1"), SecretRef("token", "v2")]


async def test_what_was_made_for_an_account_goes_when_nothing_of_it_runs_and_not_if_it_is_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(revocations, "AGAIN", 0.0)
    store, executor = MemoryStore(SystemClock()), Executor()
    feed = Feed(store)
    await store.commit([], [Put(keys.retired(name), b"") for name in ("loader", "again", "web")])
    await store.commit([], [Put(keys.account("again"), encode(Account("again")))])
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(feed.run())]
        await feed.started.wait()
        running.append(tasks.create_task(Revocations(store, feed, executor, list).run()))
        while (await store.page(keys.RETIRED, keys.after(keys.RETIRED), count_only=True)).count:
            await asyncio.sleep(0)
        for task in running:
            task.cancel()
    assert sorted(executor.retired) == ["loader", "web"]
    assert not executor.busy
