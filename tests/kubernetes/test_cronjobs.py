"""Schedules as CronJobs of a real cluster. A minute is the least that a CronJob knows, so they wait side by side."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from backend.clock import SystemClock
from backend.control.cronjobs import CronJobs
from backend.kube import JOBS, Connection, Kube, Resource, connect
from backend.run.state import Run
from backend.schedule.model import Schedule
from backend.schedule.ticks import GRACE
from backend.store import keys
from backend.store.base import Delete, Put
from backend.store.catalogue import Catalogue
from backend.store.codec import decode, encode
from backend.store.feed import Feed
from backend.store.memory import MemoryStore
from backend.store.records import PipelineHead, Version
from tests.kubernetes.cluster import Cluster, namespace
from tests.kubernetes.images import SHELL

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, pytest.mark.timeout(420)]

DOCUMENT = {"name": "p", "stages": {"a": {"image": "shell", "script": "true"}}}
MINUTE = timedelta(minutes=1)
NEVER = "0 0 29 2 *"


def now() -> datetime:
    return datetime.now(UTC)


async def until(moment: datetime) -> None:
    await asyncio.sleep(max((moment - now()).total_seconds(), 0))


async def next_minute(margin: float = 6) -> datetime:
    """The next whole minute that is at least so many seconds away."""
    return (now() + timedelta(seconds=margin)).replace(second=0, microsecond=0) + MINUTE


class World:
    """A store with a pipeline and schedules, and a daemon that can be killed; its objects are told by its name."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.store = MemoryStore(SystemClock())
        self.requests: dict[tuple[str, str], int] = {}

    async def begin(self) -> World:
        await self.store.commit([], [
            Put(keys.pipeline("p"), encode(PipelineHead("p", 1))),
            Put(keys.version("p", 1), encode(Version("p", 1, json.dumps(DOCUMENT), ""))),
        ])  # fmt: skip
        return self

    @contextlib.asynccontextmanager
    async def daemon(self, kind: type[Kube] | None = None) -> AsyncIterator[Kube]:
        """Runs meanwhile; at the end it is cancelled wherever it is."""
        kube = await connect(Connection(namespace=self.cluster.namespace))
        if kind is not None:
            kube.__class__ = kind
        feed, catalogue = Feed(self.store), Catalogue(self.store)
        tasks = [asyncio.create_task(feed.run())]
        await feed.started.wait()
        work = CronJobs(kube, self.store, feed, catalogue, SystemClock(), list, instance=self.name, image=SHELL)
        tasks.append(asyncio.create_task(work.run()))
        try:
            yield kube
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await kube.close()

    async def put(self, schedule: Schedule) -> Schedule:
        await self.store.commit([], [Put(keys.schedule(schedule.name), encode(schedule))])
        return schedule

    async def cron(self, name: str, *expressions: str, **more: Any) -> Schedule:
        made = now()
        return await self.put(Schedule(name, "p", "cron", expressions, created=made, last_tick=made, **more))

    async def schedule(self, name: str) -> Schedule:
        found = await self.store.get(keys.schedule(name))
        assert found is not None
        return decode(found.value, Schedule)

    async def moments(self, name: str) -> list[datetime]:
        """The logical times of a schedule's runs."""
        runs = [decode(kv.value, Run) async for page in self.store.scan(keys.RUNS) for kv in page.items]
        return sorted(run.logical_time for run in runs if run.trigger.schedule == name)

    async def objects(self, kind: str, schedule: str = "") -> list[dict[str, Any]]:
        """CronJobs or Jobs of this world, of one schedule."""
        found = await asyncio.to_thread(self.cluster.items, kind, "-l", f"khantui.dev/instance={self.name}")
        return [o for o in found if schedule in ("", o["metadata"]["annotations"].get("khantui.dev/schedule"))]

    async def cronjob(self, schedule: str) -> dict[str, Any]:
        """Its only CronJob, once it is there."""
        await self.comes(lambda: self.objects("cronjobs", schedule))
        (found,) = await self.objects("cronjobs", schedule)
        return found

    async def kubectl(self, *words: str) -> None:
        await asyncio.to_thread(self.cluster.kubectl, *words)

    async def comes(self, what: Callable[[], Awaitable[Any]], seconds: float = 100) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(seconds):
            while not await what():
                await asyncio.sleep(0.25)

    async def says(self, schedule: str, words: str) -> None:
        async def said() -> bool:
            return words in (await self.schedule(schedule)).message

        await self.comes(said, 30)

    async def has(self, kind: str, schedule: str, count: int, seconds: float = 100) -> None:
        async def so() -> bool:
            return len(await self.objects(kind, schedule)) == count

        await self.comes(so, seconds)

    async def ran(self, schedule: str, count: int, seconds: float = 100) -> None:
        async def so() -> bool:
            return len(await self.moments(schedule)) >= count

        await self.comes(so, seconds)


@pytest.fixture(scope="module")
def strict() -> Iterator[Cluster]:
    """A namespace in which only pods run that keep to the standard `restricted`."""
    with namespace(f"khantui-cron-{now():%H%M%S}", {"pod-security.kubernetes.io/enforce": "restricted"}) as cluster:
        yield cluster


async def fires(world: World) -> None:
    """Made, it fires at the next minute, from the cluster's tick, once."""
    async with world.daemon() as kube:
        begin = now()
        await world.cron("s", "* * * * *", zone="Europe/Berlin")
        spec = (await world.cronjob("s"))["spec"]
        assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("* * * * *", "Europe/Berlin", False)
        assert spec["jobTemplate"]["spec"]["suspend"] is True
        await world.ran("s", 1)
        (moment,) = await world.moments("s")
        assert moment - begin < MINUTE + timedelta(seconds=1)
        await world.has("jobs", "s", 0)
        fired = (await world.cronjob("s"))["status"]["lastScheduleTime"]
        assert datetime.fromisoformat(fired) >= moment
        assert kube.requests.sent["delete", "jobs"]
        moments = await world.moments("s")
        assert moments == sorted({moment, *moments})


async def pauses(world: World) -> None:
    """Paused, it is suspended; resumed, it goes on from then."""
    async with world.daemon():
        schedule = await world.cron("s", "* * * * *", paused=True)
        assert (await world.cronjob("s"))["spec"]["suspend"] is True
        await until(await next_minute(0) + timedelta(seconds=3))
        assert await world.objects("jobs") == []
        resumed = now()
        await world.put(replace(schedule, paused=False, last_tick=resumed))
        await world.ran("s", 1)
        assert min(await world.moments("s")) > resumed
        await world.has("jobs", "s", 0)


async def changes(world: World) -> None:
    """Changed, its CronJobs follow; deleted, they go."""
    async with world.daemon():
        schedule = await world.cron("s", NEVER)
        assert (await world.cronjob("s"))["spec"]["schedule"] == NEVER
        await world.put(replace(schedule, cron=("50-10 0 * * 7", NEVER), zone="Asia/Tokyo"))
        await world.has("cronjobs", "s", 2)

        async def changed() -> bool:
            specs = [o["spec"] for o in await world.objects("cronjobs", "s")]
            minutes = "0,1,2,3,4,5,6,7,8,9,10,50,51,52,53,54,55,56,57,58,59"
            wanted = {(f"{minutes} 0 * * 0", "Asia/Tokyo"), (NEVER, "Asia/Tokyo")}
            return {(s["schedule"], s["timeZone"]) for s in specs} == wanted

        await world.comes(changed, 20)
        await world.put(replace(schedule, kind="after", cron=(), after=("q",)))
        await world.has("cronjobs", "s", 0)
        await world.put(schedule)
        await world.has("cronjobs", "s", 1)
        await world.store.commit([], [Delete(keys.schedule("s"))])
        await world.has("cronjobs", "s", 0)


async def drifts(world: World) -> None:
    """What is done to CronJobs by hand is put back, and said."""
    async with world.daemon():
        await world.cron("s", NEVER)
        name = (await world.cronjob("s"))["metadata"]["name"]
        await world.kubectl("delete", "cronjob", name)
        await world.says("s", "was deleted in the cluster: made again")
        await world.cronjob("s")
        await world.kubectl("patch", "cronjob", name, "-p", '{"spec":{"suspend":true,"schedule":"* * * * *"}}')
        await world.says("s", "was changed in the cluster (schedule, suspend): put back")
        assert (await world.cronjob("s"))["spec"]["schedule"] == NEVER
        await world.kubectl("label", "cronjob", name, "khantui.dev/instance-")
        await world.says("s", "labels.khantui.dev/instance): put back")
        found = await world.cronjob("s")
        await world.kubectl("create", "job", f"{name}-by-hand", f"--from=cronjob/{name}")
        await world.says("s", "was made by hand, and deleted")
        await world.has("jobs", "s", 0)
        stray = {"apiVersion": "batch/v1", "kind": "CronJob", "spec": found["spec"]}
        stray["metadata"] = {
            "name": f"stray-{world.name}",
            "labels": found["metadata"]["labels"],
            "annotations": {"khantui.dev/schedule": "gone"},
        }
        await asyncio.to_thread(world.cluster.apply, stray)
        await world.has("cronjobs", "gone", 0)
        assert await world.moments("s") == []
    await world.kubectl("delete", "cronjob", name)  # while nobody looks
    async with world.daemon():
        await world.cronjob("s")
    await world.kubectl("patch", "cronjob", name, "-p", '{"spec":{"suspend":true}}')
    async with world.daemon():
        await world.says("s", "was changed in the cluster (suspend): put back")


async def misses(world: World) -> None:
    """Down over two ticks: what becomes of them is for each schedule's policy to say, as in the daemon's own loop."""
    policies: tuple[Any, ...] = ("none", "latest", "all")
    first = await next_minute(15)
    second = first + MINUTE
    async with world.daemon():
        for policy in policies:
            await world.cron(policy, f"{first.minute},{second.minute} * * * *", catch_up=policy)
        for policy in policies:
            await world.cronjob(policy)
        assert now() < first
    await until(second + timedelta(seconds=5))
    for policy in policies:
        await world.has("jobs", policy, 2, 50)
    # one who resumes a tick by hand gets a pod that does nothing
    resumed = (await world.objects("jobs", "all"))[0]["metadata"]["name"]
    await world.kubectl("patch", "job", resumed, "-p", '{"spec":{"suspend":false}}')

    async def ended() -> bool:
        found = [o for o in await world.objects("jobs", "all") if o["metadata"]["name"] == resumed]
        return found[0]["status"].get("succeeded") == 1

    await world.comes(ended, 60)
    await until(second + GRACE + timedelta(seconds=1))
    async with world.daemon():
        await world.has("jobs", "", 0)
        assert await world.moments("none") == []
        assert "makes up for nothing" in (await world.schedule("none")).message
        assert await world.moments("latest") == [second]
        assert await world.moments("all") == [first, second]
        for policy in policies:
            assert (await world.schedule(policy)).last_tick == second


class Stuck(Kube):
    """Deletes no Job."""

    async def delete(self, resource: Resource, name: str, *, uid: str = "", grace: float | None = None) -> None:
        if resource is JOBS:
            await asyncio.Event().wait()
        await super().delete(resource, name, uid=uid, grace=grace)


async def dies(world: World) -> None:
    """Killed between the run and the Job's deletion: the next daemon deletes it, and makes no second run."""
    async with world.daemon(Stuck):
        await world.cron("s", "* * * * *")
        await world.ran("s", 1)
        await world.has("jobs", "s", 1)
    (moment,) = await world.moments("s")
    async with world.daemon():
        await world.put(replace(await world.schedule("s"), paused=True))
        await world.has("jobs", "s", 0)
    assert (await world.moments("s"))[:1] == [moment]
    assert len(set(await world.moments("s"))) == len(await world.moments("s"))


async def zones(world: World) -> None:
    """Wall clocks with odd offsets."""
    moment = await next_minute()
    async with world.daemon():
        for number, zone in enumerate(("Asia/Kathmandu", "America/St_Johns")):
            local = moment.astimezone(ZoneInfo(zone))
            await world.cron(f"z{number}", f"{local.minute} {local.hour} {local.day} {local.month} *", zone=zone)
        for number in range(2):
            await world.ran(f"z{number}", 1)
            assert await world.moments(f"z{number}") == [moment]
            await world.has("jobs", f"z{number}", 0)


async def once(world: World) -> None:
    """Once is once: the CronJob, which would fire every year, goes."""
    at = await next_minute() - timedelta(seconds=1)
    async with world.daemon():
        made = now()
        await world.put(Schedule("s", "p", "once", at=at, created=made, last_tick=made))
        await world.cronjob("s")
        await world.ran("s", 1)
        await world.has("cronjobs", "s", 0)
        await world.has("jobs", "s", 0)
    assert await world.moments("s") == [at]
    assert (await world.schedule("s")).done


async def seconds(world: World) -> None:
    """What CronJobs do not know fires from the daemon; so does what they are late with."""
    async with world.daemon():
        await world.cron("s", "* * * * * */10")
        await world.put(Schedule("e", "p", "every", every=5, created=now(), last_tick=now()))
        await world.ran("s", 2)
        await world.ran("e", 2)
        assert await world.objects("cronjobs") == []


SCENARIOS = (fires, pauses, changes, drifts, misses, dies, zones, once, seconds)


async def test_schedules(strict: Cluster) -> None:
    """All at once, each in a world of its own: most of their time is spent waiting for minutes to pass."""
    failures: list[str] = []

    async def play(scenario: Callable[[World], Awaitable[None]]) -> None:
        try:
            await scenario(await World(strict, scenario.__name__).begin())
        except Exception as error:
            failures.append(f"{scenario.__name__}: {type(error).__name__} {error}")
            raise

    results = await asyncio.gather(*map(play, SCENARIOS), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise AssertionError("; ".join(failures)) from result


async def test_two_hundred_schedules_cost_a_request_each_and_then_nothing(strict: Cluster) -> None:
    world = await World(strict, "many").begin()
    for number in range(200):
        await world.cron(f"s{number}", f"{number % 60} {number % 24} 1 1 *")
    with strict.calm():
        async with world.daemon() as kube:
            await world.has("cronjobs", "", 200)
            assert kube.requests.sent["create", "cronjobs"] == 200
            assert kube.requests.total == 204  # and a list and a watch of CronJobs and Jobs
        async with world.daemon() as kube:
            await world.cron("last", NEVER)
            await world.has("cronjobs", "", 201)
            assert kube.requests.total == 5
