"""Ticks and followers: one run for each, wherever the process dies, and whoever else tries at the same time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from backend.control.followers import Followers
from backend.control.ticks import Ticker
from backend.run.state import Run, RunState
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.base import Delete
from backend.store.catalogue import Catalogue
from backend.store.feed import Feed
from tests.unit.control.scene import NOON, Scene


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.pipeline()
    return scene


def hourly(name: str = "s", **more: Any) -> Schedule:
    return Schedule(name, "p", "cron", ("0 * * * *",), created=NOON, last_tick=NOON, **more)


async def test_each_tick_makes_a_run_of_its_moment(scene: Scene) -> None:
    await scene.put(hourly(zone="Europe/Berlin", parameters={"region": "eu"}))
    async with scene.watching():
        await scene.advance(hours=2)
    runs = await scene.runs()
    assert [r.logical_time.isoformat() for r in runs] == ["2026-03-02T14:00:00+01:00", "2026-03-02T15:00:00+01:00"]
    assert {(r.trigger.kind, r.trigger.schedule, r.zone, r.parameters["region"]) for r in runs} == {
        ("schedule", "s", "Europe/Berlin", "eu")
    }
    schedule = await scene.schedule()
    assert (schedule.last_tick, schedule.last_run) == (NOON + timedelta(hours=2), runs[-1].id)


@pytest.mark.parametrize("turns", range(0, 46))
async def test_a_process_killed_at_any_moment_makes_no_run_twice_and_loses_none(scene: Scene, turns: int) -> None:
    await scene.put(hourly(catch_up="all"))
    async with scene.watching():
        await scene.settle()
        await scene.clock.advance(3 * 3600 + 1)  # three are due at once
        await scene.settle(turns)
    async with scene.watching():
        await scene.settle()
    assert [r.logical_time.hour for r in await scene.runs()] == [13, 14, 15]
    assert (await scene.schedule()).last_tick == NOON + timedelta(hours=3)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_commit_that_fails_is_made_good(scene: Scene, how: str, number: int) -> None:
    await scene.put(hourly(catch_up="all"))
    scene.store.fails = {scene.store.commits + number: how}
    async with scene.watching():
        await scene.advance(hours=3, minutes=1)
    assert [r.logical_time.hour for r in await scene.runs()] == [13, 14, 15]


async def test_two_processes_make_one_run(scene: Scene) -> None:
    await scene.put(hourly())
    async with scene.watching(), scene.watching():
        await scene.advance(hours=2)
    assert [r.logical_time.hour for r in await scene.runs()] == [13, 14]


async def test_two_schedules_of_a_pipeline_make_a_run_each(scene: Scene) -> None:
    await scene.put(hourly("s"))
    await scene.put(hourly("t"))
    async with scene.watching():
        await scene.advance(hours=1)
    assert {r.trigger.schedule for r in await scene.runs()} == {"s", "t"}


async def test_a_paused_schedule_makes_none_and_what_is_resumed_goes_on(scene: Scene) -> None:
    await scene.put(hourly(paused=True))
    async with scene.watching():
        await scene.advance(hours=2)
        assert await scene.runs() == []
        await scene.put(replace(hourly(), last_tick=scene.clock.now()))
        await scene.advance(hours=1)
    assert [r.logical_time.hour for r in await scene.runs()] == [15]


async def test_once_is_once(scene: Scene) -> None:
    await scene.put(Schedule("s", "p", "once", at=NOON + timedelta(minutes=30), created=NOON, last_tick=NOON))
    async with scene.watching():
        await scene.advance(hours=3)
    assert [r.logical_time.minute for r in await scene.runs()] == [30]
    assert (await scene.schedule()).done


async def test_a_change_counts_from_then_on(scene: Scene) -> None:
    await scene.put(hourly())
    async with scene.watching():
        await scene.advance(minutes=50)
        await scene.put(replace(hourly(), cron=("30 * * * *",), last_tick=scene.clock.now()))
        await scene.advance(hours=1)
    assert [f"{r.logical_time:%H:%M}" for r in await scene.runs()] == ["13:30"]


async def test_a_deleted_schedule_fires_no_more(scene: Scene) -> None:
    await scene.put(hourly())
    async with scene.watching():
        await scene.advance(hours=1)
        await scene.store.commit([], [Delete(keys.schedule("s"))])
        await scene.advance(hours=2)
    assert len(await scene.runs()) == 1


async def test_a_pipeline_that_is_gone_is_said_and_the_schedule_goes_on(scene: Scene) -> None:
    await scene.put(hourly())
    await scene.store.commit([], [Delete(keys.pipeline("p"))])
    async with scene.watching():
        await scene.advance(hours=1)
        assert "made no run" in (await scene.schedule()).message
        await scene.pipeline()
        await scene.advance(hours=1)
    assert [r.logical_time.hour for r in await scene.runs()] == [14]
    assert (await scene.schedule()).message == ""


async def test_many_schedules_at_one_moment(scene: Scene) -> None:
    for number in range(200):
        await scene.put(hourly(f"s{number}"))
    async with scene.watching():
        await scene.advance(hours=1)
        await scene.settle(5000)
    assert len(await scene.runs()) == 200


def follows(name: str = "f", *causes: str) -> Schedule:
    return Schedule(name, "q", "after", after=causes or ("p",), created=NOON)


@pytest.fixture
async def two(scene: Scene) -> Scene:
    await scene.pipeline("q")
    await scene.put(follows())
    return scene


async def followers(scene: Scene) -> list[Run]:
    return [r for r in await scene.runs() if r.pipeline == "q"]


async def test_a_good_run_is_followed_at_the_same_logical_time(two: Scene) -> None:
    async with two.watching(Followers):
        await two.settle()
        first = await two.end("p", moment=NOON - timedelta(days=3))
        await two.settle()
    (run,) = await followers(two)
    assert (run.logical_time, run.trigger.kind, run.trigger.run) == (first.logical_time, "after", first.id)
    assert (await two.schedule("f")).last_run == run.id


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
async def test_others_are_not_followed(two: Scene, state: RunState) -> None:
    async with two.watching(Followers):
        await two.end("p", state)
        await two.settle()
    assert await followers(two) == []


@pytest.mark.parametrize("turns", range(0, 40))
async def test_followers_killed_at_any_moment(two: Scene, turns: int) -> None:
    async with two.watching(Followers):
        await two.settle()
        first, second = await two.end("p"), await two.end("p", moment=NOON + timedelta(minutes=1))
        await two.settle(turns)
    async with two.watching(Followers):
        await two.settle()
    assert [r.trigger.run for r in await followers(two)] == [first.id, second.id]


async def test_what_ended_while_nobody_watched_is_followed(two: Scene) -> None:
    await two.end("p")
    async with two.watching(Followers), two.watching(Followers):
        await two.settle()
    assert len(await followers(two)) == 1
    async with two.watching(Followers):
        await two.settle()
    assert len(await followers(two)) == 1


async def test_a_paused_follower_follows_nothing(two: Scene) -> None:
    await two.put(replace(follows(), paused=True))
    async with two.watching(Followers):
        await two.end("p")
        await two.settle()
        await two.put(follows())
        await two.settle()
    assert await followers(two) == []


async def test_any_of_several_causes(two: Scene) -> None:
    await two.pipeline("r")
    await two.put(follows("f", "p", "r"))
    async with two.watching(Followers):
        await two.end("p")
        await two.end("r", moment=NOON + timedelta(minutes=1))
        await two.settle()
    assert len(await followers(two)) == 2


class Elsewhere:
    """Somebody else keeps the time: the daemon looks by itself only a quarter of an hour later."""

    def __init__(self) -> None:
        self.known: dict[str, Schedule | None] = {}
        self.all = False
        self.ahead = timedelta()

    def learned(self, name: str, schedule: Schedule | None) -> None:
        self.known[name] = schedule

    def listed(self) -> None:
        self.all = True

    def now(self, name: str, now: datetime) -> datetime:
        return now + self.ahead

    def alarm(self, name: str, moment: datetime) -> datetime:
        return moment + timedelta(minutes=15)


@contextlib.asynccontextmanager
async def mirrored(scene: Scene, mirror: Elsewhere) -> AsyncIterator[Ticker]:
    feed = Feed(scene.store)
    ticker = Ticker(scene.store, feed, Catalogue(scene.store), scene.clock, list, mirror)
    tasks = [asyncio.create_task(feed.run())]
    await feed.started.wait()
    tasks.append(asyncio.create_task(ticker.run()))
    await scene.settle()
    yield ticker
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_tick_from_elsewhere_fires_and_without_one_it_is_only_late(scene: Scene) -> None:
    await scene.put(hourly())
    mirror = Elsewhere()
    async with mirrored(scene, mirror) as ticker:
        assert mirror.all
        await scene.advance(hours=1)
        assert await scene.runs() == []
        ticker.ring("s")
        ticker.ring("s")
        await scene.settle()
        assert [r.logical_time.hour for r in await scene.runs()] == [13]
        await scene.advance(hours=1, minutes=14)
        assert [r.logical_time.hour for r in await scene.runs()] == [13]
        await scene.advance(minutes=1)
        assert [r.logical_time.hour for r in await scene.runs()] == [13, 14]
        known = mirror.known["s"]
        assert known is not None
        assert known.last_tick == NOON + timedelta(hours=2)
        await scene.store.commit([], [Delete(keys.schedule("s"))])
        await scene.settle()
        assert mirror.known["s"] is None


async def test_a_tick_of_a_clock_that_is_ahead_of_ours_counts(scene: Scene) -> None:
    await scene.put(hourly())
    mirror = Elsewhere()
    async with mirrored(scene, mirror) as ticker:
        await scene.advance(minutes=59)
        mirror.ahead = timedelta(minutes=1)
        ticker.ring("s")
        await scene.settle()
    assert [r.logical_time.hour for r in await scene.runs()] == [13]


async def test_a_schedule_can_be_made_to_say_something(scene: Scene) -> None:
    await scene.put(hourly())
    async with mirrored(scene, Elsewhere()) as ticker:
        await ticker.note("s", "its CronJob was put back")
        await ticker.note("there is none", "lost")
        assert (await scene.schedule()).message == "its CronJob was put back"
        await scene.advance(hours=1, minutes=15)
    assert (await scene.schedule()).message == ""


async def test_a_clock_that_goes_hours_forward_and_back_makes_no_tick_twice(scene: Scene) -> None:
    await scene.put(hourly(catch_up="all"))
    async with scene.watching():
        await scene.advance(hours=1)
        await scene.clock.set(5 * 3600)  # 18:00
        await scene.settle()
        assert [r.logical_time.hour for r in await scene.runs()] == [13, 14, 15, 16, 17, 18]
        await scene.clock.set(-5 * 3600)
        await scene.advance(hours=7)  # 20:00
    assert [r.logical_time.hour for r in await scene.runs()] == [13, 14, 15, 16, 17, 18, 19, 20]


async def test_a_clock_that_was_years_ahead_for_a_moment_costs_one_run_and_the_schedule_goes_on(scene: Scene) -> None:
    await scene.put(hourly())
    years = 20 * 365 * 86400
    async with scene.watching():
        await scene.advance(hours=1)
        await scene.clock.set(years)
        await scene.settle()
        ahead = await scene.schedule()
        assert ahead.last_tick is not None
        assert ahead.last_tick.year > 2040
        await scene.clock.set(-years)
        await scene.settle()
        assert "the clock was set back" in (await scene.schedule()).message
        await scene.advance(hours=2)
    assert [r.logical_time.hour for r in await scene.runs() if r.logical_time.year == NOON.year] == [13, 14, 15]
