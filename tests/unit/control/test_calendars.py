"""Schedules follow their calendars, also where whoever changed one was killed before all had followed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from backend.control.calendars import Calendars
from backend.control.ticks import Ticker
from backend.schedule.dates import Calendar
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.base import Put
from backend.store.calendars import spread
from backend.store.codec import encode
from backend.store.feed import Feed
from tests.unit.control.scene import NOON, Scene

TODAY, TOMORROW = ("2026-03-02",), ("2026-03-03",)


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.pipeline()
    return scene


@contextlib.asynccontextmanager
async def following(scene: Scene) -> AsyncIterator[None]:
    """The controller, until it is killed."""
    feed = Feed(scene.store)
    tasks = [asyncio.create_task(feed.run())]
    await feed.started.wait()
    tasks.append(asyncio.create_task(Calendars(scene.store, feed, scene.clock, list).run()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def keep(scene: Scene, days: tuple[str, ...]) -> None:
    await scene.store.commit([], [Put(keys.calendar("c"), encode(Calendar("c", days)))])


def hourly(name: str, days: tuple[str, ...] = TOMORROW) -> Schedule:
    return Schedule(name, "p", "cron", ("0 * * * *",), created=NOON, last_tick=NOON, calendars={"c": days})


async def test_all_that_use_it_follow_however_many(scene: Scene) -> None:
    for number in range(120):  # more than go into one transaction
        await scene.put(hourly(f"s{number}"))
    await scene.put(Schedule("other", "p", "cron", ("0 * * * *",), created=NOON, last_tick=NOON))
    await keep(scene, TODAY)
    await spread(scene.store, "c", scene.clock.now())
    assert {(await scene.schedule(f"s{n}")).calendars["c"] for n in range(120)} == {TODAY}
    assert (await scene.schedule("other")).calendars == {}


async def test_what_was_begun_is_brought_to_its_end(scene: Scene) -> None:
    await scene.put(hourly("s"))
    await keep(scene, TODAY)  # and then whoever did it was killed
    async with following(scene):
        await scene.settle()
        assert (await scene.schedule()).calendars["c"] == TODAY
        await keep(scene, TOMORROW)
        await scene.settle()
        assert (await scene.schedule()).calendars["c"] == TOMORROW


async def test_a_calendar_that_changes_while_ticks_are_made(scene: Scene) -> None:
    """Each hour of the days that are open has one run; the others have none, and none is made up for."""
    await keep(scene, TODAY)
    await scene.put(hourly("s", TODAY))
    async with following(scene), scene.watching(Ticker):
        await scene.advance(hours=3, minutes=30)
        assert await scene.runs() == []
        await keep(scene, TOMORROW)
        await scene.settle()
        await scene.advance(hours=10)  # into tomorrow
    assert [r.logical_time.hour for r in await scene.runs()] == list(range(16, 24))
    assert (await scene.schedule()).calendars["c"] == TOMORROW
    assert scene.clock.now() == NOON + timedelta(hours=13, minutes=30)
