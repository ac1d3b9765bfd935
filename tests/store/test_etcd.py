"""The client of etcd alone: lost answers, lost requests, silence, other endpoints, roots."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from backend.errors import StoreError, StoreUnavailable
from backend.store import calls, watching
from backend.store.base import Condition, Delete, Put, Store
from backend.store.calls import Ambiguous
from backend.store.etcd import EtcdStore
from tests.store.relay import Relay

NOWHERE = "unix:/nowhere/c.sock"


@pytest.fixture
async def relay(etcd_target: str) -> AsyncIterator[Relay]:
    with tempfile.TemporaryDirectory(prefix="kh") as folder:
        relay = Relay(Path(folder), etcd_target)
        await relay.open()
        yield relay
        await relay.close()


@pytest.fixture
async def far(relay: Relay, etcd_store: EtcdStore) -> AsyncIterator[EtcdStore]:
    """A store behind the relay, on the root of `etcd_store`, which sees what really happens."""
    store = EtcdStore([relay.target], root=etcd_store.root, timeout=1)
    assert await store.get("a") is None  # it is connected
    yield store
    await store.close()


async def history(store: Store, prefix: str, since: int) -> list[bytes | None]:
    """All values that keys with this prefix have had since then."""
    last = await store.commit([], [Put(f"{prefix}~", b"")])
    values: list[bytes | None] = []
    async with asyncio.timeout(10):
        async for batch in store.watch(prefix, since):
            values += [c.value for c in batch.changes if c.modified != last]
            if batch.revision == last:
                break
    return values


async def made(store: Store, key: str) -> None:
    """Wait until there is such a key."""
    revision = await now(store)
    if await store.get(key) is None:
        async with asyncio.timeout(10):
            await anext(store.watch(key, revision + 1))


async def now(store: Store) -> int:
    return (await store.page("", "\x7f", limit=1)).revision


# A commit is made once


@pytest.mark.etcd
@pytest.mark.parametrize("lost", ["loses_requests", "loses_answers"])
@pytest.mark.parametrize("cut", [True, False], ids=["the line is cut", "the line is silent"])
async def test_a_commit_whose_answer_does_not_come_is_made_once(
    far: EtcdStore, etcd_store: EtcdStore, relay: Relay, lost: str, cut: bool
) -> None:
    since = await now(etcd_store)
    setattr(relay, lost, True)
    committing = asyncio.ensure_future(far.commit([], [Put("a", b"1")]))
    await (relay.lost.wait() if lost == "loses_requests" else made(etcd_store, "a"))
    if not cut:
        await asyncio.wait({committing}, timeout=1.5)  # longer than a call may take
        assert not committing.done()
    relay.heal()
    async with asyncio.timeout(10):
        revision = await committing
    assert await history(etcd_store, "a", since + 1) == [b"1"]
    found = await etcd_store.get("a")
    assert found is not None
    assert found.modified == revision


@pytest.mark.etcd
async def test_a_condition_that_the_lost_commit_itself_has_changed_is_no_conflict(
    far: EtcdStore, etcd_store: EtcdStore, relay: Relay
) -> None:
    relay.loses_answers = True
    committing = asyncio.ensure_future(far.commit([Condition("a", modified=0)], [Put("a", b"1")]))
    await made(etcd_store, "a")
    relay.heal()
    assert await committing is not None


@pytest.mark.etcd
async def test_a_commit_that_was_made_is_never_reported_as_not_made(etcd_store: EtcdStore, relay: Relay) -> None:
    far = EtcdStore([relay.target], root=etcd_store.root, timeout=0.2)
    await far.get("a")
    relay.loses_answers = True
    committing = asyncio.ensure_future(far.commit([], [Put("a", b"1")]))
    await made(etcd_store, "a")
    await relay.close()
    with pytest.raises(Ambiguous, match="not known"):
        await committing
    await far.close()


@pytest.mark.etcd
async def test_commits_go_on_after_one_that_was_given_up(far: EtcdStore, etcd_store: EtcdStore, relay: Relay) -> None:
    assert await far.commit([], [Put("before", b"")])
    relay.loses_answers = True
    committing = asyncio.ensure_future(far.commit([], [Put("a", b"given up")]))
    await made(etcd_store, "a")
    committing.cancel()
    await asyncio.wait({committing})
    relay.heal()
    for n in range(3):
        assert await far.commit([Condition(f"b{n}", modified=0)], [Put(f"b{n}", b"")]) is not None


@pytest.mark.etcd
async def test_commits_go_on_after_somebody_swept_the_writers_keys(etcd_store: EtcdStore) -> None:
    for n in range(3):
        assert await etcd_store.commit([Condition(f"b{n}", modified=0)], [Put(f"b{n}", b"")]) is not None
        await etcd_store.sweep()
    traces = EtcdStore(etcd_store.endpoints, root=f"{etcd_store.root}\x7fwriters/")
    assert (await traces.page("", "\x7f")).count == 0
    await traces.close()


# Silence


@pytest.mark.etcd
@pytest.mark.parametrize("frozen", [True, False], ids=["silent", "cut off"])
async def test_a_watch_goes_on_where_it_was(
    far: EtcdStore, etcd_store: EtcdStore, relay: Relay, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "IDLE", 0.2)
    monkeypatch.setattr(watching, "ANSWER", 0.2)
    watch = far.watch("a", await now(etcd_store) + 1)
    seen = []
    async with asyncio.timeout(20):
        for n in range(6):
            await etcd_store.commit([], [Put("a", str(n).encode())])
            if n % 2:
                relay.loses_answers = frozen
                await etcd_store.commit([], [Put("a", b"while it hears nothing")])
                coming = asyncio.ensure_future(anext(watch))
                if frozen:
                    await relay.lost.wait()
                relay.heal()
            else:
                coming = asyncio.ensure_future(anext(watch))
            seen += (await coming).changes
        while len(seen) < 9:
            seen += (await anext(watch)).changes
    gap = b"while it hears nothing"
    assert [c.value for c in seen] == [b"0", b"1", gap, b"2", b"3", gap, b"4", b"5", gap]
    assert [c.modified for c in seen] == sorted({c.modified for c in seen})


async def test_a_watch_that_is_cancelled_as_it_begins_ends(
    etcd_store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that is to end waits for its watches: a cancellation that is lost leaves it there for ever."""

    async def follow() -> None:
        async for _ in etcd_store.watch("a", 1):
            pass

    class Cancelling:
        """A call whose reader is cancelled at the moment at which its first message is sent."""

        def __init__(self, call: Any) -> None:
            self._call = call

        def __getattr__(self, name: str) -> Any:
            return getattr(self._call, name)

        async def write(self, request: Any) -> None:
            await self._call.write(request)
            following.cancel()

    watch = etcd_store.calls.member().watch
    monkeypatch.setattr(watch, "Watch", lambda watch=watch.Watch, **given: Cancelling(watch(**given)))
    following = asyncio.create_task(follow())
    done, _ = await asyncio.wait({following}, timeout=10)
    assert done
    assert following.cancelled()


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.get("a"),
        lambda s: s.get_many(["a"]),
        lambda s: s.page("a", "b"),
        lambda s: s.commit([], [Put("a", b"")]),
        lambda s: s.commit([], [Delete("a")]),
        lambda s: s.grant(5),
        lambda s: s.keep_alive(5),
        lambda s: s.revoke(5),
        lambda s: s.health(),
        lambda s: s.compact(1),
    ],
    ids=["get", "many", "page", "put", "delete", "grant", "keep_alive", "revoke", "health", "compact"],
)
async def test_without_etcd_every_call_says_so_in_time(call: Callable[[Store], Awaitable[object]]) -> None:
    store = EtcdStore([NOWHERE], timeout=0.1)
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailable, match="etcd"):
            await call(store)
    await store.close()


@pytest.mark.etcd
async def test_a_silent_etcd_is_given_up_in_time(far: EtcdStore, relay: Relay) -> None:
    relay.loses_answers = True
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailable):
            await far.get("a")
    relay.heal()
    assert await far.get("a") is None


# Endpoints and roots


@pytest.mark.etcd
async def test_another_endpoint_is_used_when_one_is_down(etcd_target: str, etcd_store: EtcdStore) -> None:
    store = EtcdStore([NOWHERE, etcd_target, NOWHERE], root=etcd_store.root)
    revision = await store.commit([], [Put("a", b"1")])
    assert revision is not None
    async with asyncio.timeout(10):
        assert (await anext(store.watch("", revision))).revision == revision
    await store.close()


@pytest.mark.etcd
async def test_roots_do_not_see_one_another(etcd_store: EtcdStore) -> None:
    other = EtcdStore(etcd_store.endpoints, root=f"{etcd_store.root[:-1]}0/")
    first = await etcd_store.commit([], [Put("a", b"1")])
    assert first is not None
    assert await other.get("a") is None
    await other.commit([], [Put("a", b"2")])
    await other.commit([], [Delete("", prefix=True)])
    last = await etcd_store.commit([], [Put("b", b"3")])
    assert [i.key for i in (await etcd_store.page("", "\x7f")).items] == ["a", "b"]
    watch = etcd_store.watch("", first + 1)
    async with asyncio.timeout(10):
        assert (await anext(watch)).revision == last
    await other.close()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("10.0.0.1:2379", "10.0.0.1:2379"),
        ("http://etcd.example:2380", "etcd.example:2380"),
        ("http://etcd.example/", "etcd.example:2379"),
        ("https://etcd.example:2379", "etcd.example:2379"),
        ("etcd.example", "etcd.example:2379"),
        ("[::1]:2379", "[::1]:2379"),
        ("unix:/run/etcd.sock", "unix:/run/etcd.sock"),
        ("unix:///run/etcd.sock", "unix:/run/etcd.sock"),
    ],
)
def test_endpoints_may_be_written_as_etcdctl_takes_them(given: str, used: str) -> None:
    assert EtcdStore([given]).endpoints == (used,)


@pytest.mark.parametrize(
    "endpoints", [[], [""], ["ftp://etcd.example"], ["http://"], ["etcd.example:port"], ["http://a:1", "https://b:1"]]
)
def test_endpoints_that_make_no_sense_are_refused(endpoints: list[str]) -> None:
    with pytest.raises(StoreError, match="endpoint"):
        EtcdStore(endpoints)


async def test_a_client_that_asks_nothing_does_not_ping_until_etcd_hangs_up(
    etcd_target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = dict(calls._PLAIN)
    stores = []
    for more in ({}, {"grpc.keepalive_permit_without_calls": 1}):
        monkeypatch.setattr(calls, "_PLAIN", list({**as_it_is, "grpc.keepalive_time_ms": 200, **more}.items()))
        stores.append(EtcdStore([etcd_target]))
        assert await stores[-1].get("a") is None
    ours, pinging = (store.calls.member().channel for store in stores)
    async with asyncio.timeout(20):  # this one pings all the time, and is told so
        await pinging.wait_for_state_change(grpc.ChannelConnectivity.READY)
    assert ours.get_state() is grpc.ChannelConnectivity.READY
    for store in stores:
        await store.close()
