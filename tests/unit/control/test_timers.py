"""One alarm for many."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from backend.clock import FakeClock
from backend.control.timers import Timers

START = datetime(2026, 3, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


async def test_keys_ring_in_order_and_once_and_a_later_setting_counts() -> None:
    clock, rung = FakeClock(START), list[str]()
    timers = Timers(clock, rung.append)
    task = asyncio.create_task(timers.run())
    timers.set("late", after(50))
    timers.set("early", after(10))
    timers.set("moved", after(20))
    timers.set("moved", after(40))
    timers.set("cleared", after(30))
    timers.set("cleared", None)
    for _ in range(6):
        await clock.advance(10)
        for _ in range(5):
            await asyncio.sleep(0)
    task.cancel()
    assert rung == ["early", "moved", "late"]


async def test_an_earlier_moment_set_while_it_sleeps_is_not_missed() -> None:
    clock, rung = FakeClock(START), list[str]()
    timers = Timers(clock, rung.append)
    task = asyncio.create_task(timers.run())
    timers.set("far", after(1000))
    for _ in range(5):
        await asyncio.sleep(0)
    timers.set("near", after(1))
    for _ in range(5):
        await asyncio.sleep(0)
    await clock.advance(1)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    assert rung == ["near"]


async def test_all_ring_when_the_clock_is_set_and_are_asked_for_their_next_moments() -> None:
    clock, rung = FakeClock(START), list[str]()
    timers = Timers(clock, rung.append)
    task = asyncio.create_task(timers.run())
    timers.set("a", after(1000))
    timers.set("b", after(2000))
    for _ in range(5):
        await asyncio.sleep(0)
    await clock.advance(1)
    await clock.set(-5 * 3600)
    for _ in range(5):
        await asyncio.sleep(0)
    assert sorted(rung) == ["a", "b"]
    timers.set("a", after(1000) - timedelta(hours=5))
    await clock.advance(999)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    assert rung[2:] == ["a"]
