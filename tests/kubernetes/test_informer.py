"""The informer on a real cluster: nothing is lost and nothing told twice, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from backend.errors import ClusterError, ClusterRefused, ObjectExists, ObjectMissing
from backend.kube import JOBS, Connection, Informer, Kube, Object, connect
from backend.kube.resources import CONFIGMAPS, Resource
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.relay import Relay

pytestmark = pytest.mark.kubernetes

LABEL = "khantui.dev/test"


def thing(name: str, label: str, value: str = "") -> dict[str, object]:
    """A small object."""
    return {"metadata": {"name": name, "labels": {LABEL: label}}, "data": {"value": value}}


class Follower:
    """An informer that follows config maps with a label, and what it has said."""

    def __init__(self, kube: Kube, label: str, **more: float) -> None:
        self.informer = Informer(kube, CONFIGMAPS, Object, labels=f"{LABEL}={label}", **more)
        self.said: list[tuple[str, str, bool]] = []  # name, version, gone
        self._changed = asyncio.Event()
        self._tasks = [asyncio.create_task(self.informer.run()), asyncio.create_task(self._follow())]

    async def _follow(self) -> None:
        async for batch in self.informer.changes():
            self.said += [(c.object.metadata.name, c.object.metadata.resource_version, c.gone) for c in batch]
            self._changed.set()

    @property
    def names(self) -> set[str]:
        return {item.metadata.name for item in self.informer.objects.values()}

    def told(self, name: str) -> list[bool]:
        """What was said of one of them: whether it was gone."""
        return [gone for said, _, gone in self.said if said == name]

    async def until_told(self, name: str, gone: bool = False) -> None:
        """Wait until it has been said of one that it is there, or gone."""
        async with asyncio.timeout(60):
            while gone not in self.told(name):
                self._changed.clear()
                await self._changed.wait()

    def check(self) -> None:
        """Nothing was told twice."""
        assert len(self.said) == len(set(self.said)), self.said

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def following(kube: Kube, label: str, **more: float) -> AsyncIterator[Follower]:
    follower = Follower(kube, label, **more)
    try:
        async with asyncio.timeout(30):
            await follower.informer.synced.wait()
        yield follower
        follower.check()
    finally:
        await follower.close()


@pytest.fixture
async def relayed(kube: Kube, cluster: Cluster) -> AsyncIterator[tuple[Kube, Relay]]:
    """A client whose connection goes through a relay."""
    server = urlsplit(kube.server)
    relay = Relay(server.hostname or "", server.port or 443)
    await relay.open()
    other = await connect(Connection(namespace=cluster.namespace))
    other._api.configuration.host = f"https://127.0.0.1:{relay.port}"
    yield other, relay
    await other.close()
    await relay.close()


async def test_what_was_there_what_comes_and_what_goes(kube: Kube) -> None:
    await kube.create(CONFIGMAPS, thing("a-old", "a"), Object)
    async with following(kube, "a") as follower:
        await follower.until_told("a-old")
        await kube.create(CONFIGMAPS, thing("a-new", "a"), Object)
        await kube.create(CONFIGMAPS, thing("b-other", "b"), Object)
        await follower.until_told("a-new")
        await kube.patch(CONFIGMAPS, "a-new", {"data": {"value": "1"}}, Object)
        await kube.delete(CONFIGMAPS, "a-old")
        await follower.until_told("a-old", gone=True)
        assert follower.names == {"a-new"}
        assert not follower.told("b-other")
        assert (follower.informer.lists, follower.informer.watches) == (1, 1)


async def test_a_list_of_many_pages_is_whole(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.kube.client.PAGE", 3)
    for i in range(10):
        await kube.create(CONFIGMAPS, thing(f"pages-{i}", "pages"), Object)
    before = kube.requests.sent["list", "configmaps"]
    async with following(kube, "pages") as follower:
        await follower.until_told("pages-9")
        assert follower.names == {f"pages-{i}" for i in range(10)}
        assert kube.requests.sent["list", "configmaps"] - before == 4


async def test_a_line_that_is_cut_goes_on_where_it_was(kube: Kube, relayed: tuple[Kube, Relay]) -> None:
    other, relay = relayed
    async with following(other, "cut") as follower:
        for i in range(6):
            await kube.create(CONFIGMAPS, thing(f"cut-{i}", "cut"), Object)
            relay.cut()
        await kube.delete(CONFIGMAPS, "cut-0")
        await follower.until_told("cut-5")
        await follower.until_told("cut-0", gone=True)
        assert follower.names == {f"cut-{i}" for i in range(1, 6)}
        assert follower.informer.lists == 1  # it was resumed, not listed again


async def test_a_line_that_died_silently_is_noticed(kube: Kube, relayed: tuple[Kube, Relay]) -> None:
    other, relay = relayed
    async with following(other, "silent", silence=1.0) as follower:
        relay.silent = True
        await kube.create(CONFIGMAPS, thing("silent-1", "silent"), Object)
        before = follower.informer.watches
        async with asyncio.timeout(30):
            while follower.informer.watches == before:
                await asyncio.sleep(0.05)
        assert "did not answer in time" in follower.informer.trouble
        relay.silent = False
        relay.cut()
        await follower.until_told("silent-1")


@pytest.mark.faults
@pytest.mark.slow
async def test_a_version_that_is_gone_is_listed_anew(kube: Kube, relayed: tuple[Kube, Relay], cluster: Cluster) -> None:
    other, relay = relayed
    for name in ("gone-1", "gone-2"):
        await kube.create(CONFIGMAPS, thing(name, "gone"), Object)
    async with following(other, "gone") as follower:
        await follower.until_told("gone-2")
        relay.silent = True
        await kube.delete(CONFIGMAPS, "gone-1")
        await kube.create(CONFIGMAPS, thing("gone-3", "gone"), Object)
        follower.informer._version = "1"  # as after a day without a connection
        with cluster.faults() as faults:  # an API server that has just started remembers nothing of what was
            await asyncio.to_thread(faults.kill, "kube-apiserver")
        relay.silent = False
        relay.cut()
        await follower.until_told("gone-3")
        await follower.until_told("gone-1", gone=True)  # nobody said so: it is missing from the list
        assert follower.told("gone-2") == [False]
        assert follower.informer.lists == 2


async def test_everything_is_listed_again_now_and_then(kube: Kube) -> None:
    await kube.create(CONFIGMAPS, thing("resync-1", "resync"), Object)
    async with following(kube, "resync", resync=1.0) as follower:
        async with asyncio.timeout(30):
            while follower.informer.lists < 3:
                await asyncio.sleep(0.05)
        assert follower.told("resync-1") == [False]


@pytest.mark.faults
@pytest.mark.slow
async def test_the_api_server_is_killed_and_comes_back(kube: Kube, cluster: Cluster) -> None:
    async with following(kube, "kill") as follower:
        with cluster.faults() as faults:
            for i in range(3):
                await kube.create(CONFIGMAPS, thing(f"kill-{i}", "kill"), Object)
                if i:
                    await kube.delete(CONFIGMAPS, f"kill-{i - 1}")
                await asyncio.to_thread(faults.kill, "kube-apiserver")
                await asyncio.to_thread(faults.up)
        await follower.until_told("kill-2")
        async with asyncio.timeout(60):
            while follower.names != {"kill-2"}:
                await asyncio.sleep(0.05)
        # one that came and went while nobody listened need not be told at all, but none may be told to have stayed
        assert all(gone[-1] for name in ("kill-0", "kill-1") if (gone := follower.told(name)))


async def test_errors_say_what_and_why(kube: Kube, cluster: Cluster) -> None:
    with pytest.raises(ObjectMissing, match=r'cannot get jobs/nope in namespace .*: jobs.batch "nope" not found'):
        await kube.get(JOBS, "nope", Object)
    with pytest.raises(ClusterRefused, match=r"data\[no space\]: Invalid value"):
        await kube.create(CONFIGMAPS, {"metadata": {"name": "bad"}, "data": {"no space": ""}}, Object)
    await kube.create(CONFIGMAPS, thing("twice", "twice"), Object)
    with pytest.raises(ObjectExists):
        await kube.create(CONFIGMAPS, thing("twice", "twice"), Object)
    with pytest.raises(ClusterError, match=r"cannot list things in namespace .*: 404 page not found"):
        await kube.all(Resource("/apis/nothing.example/v1", "things"), Object)
    with pytest.raises(ClusterError, match="there is no kubeconfig /nowhere"):
        await connect(Connection(kubeconfig="/nowhere"))
    with pytest.raises(ClusterError, match="has no context 'moon'") as found:
        await connect(Connection(context="moon"))
    assert found.value.hint.startswith("there are: ")


async def test_a_cluster_that_is_not_there(kube: Kube) -> None:
    other = await connect(Connection())
    other._api.configuration.host = "https://127.0.0.1:1"
    other.server = "https://127.0.0.1:1"
    with pytest.raises(ClusterError, match=r"the cluster at https://127.0.0.1:1 cannot be reached \(get jobs/x"):
        await other.get(JOBS, "x", Object)
    assert other.requests.sent["get", "jobs"] == 1
    assert other.requests.failed["cluster-unavailable"] == 1
    await other.close()
