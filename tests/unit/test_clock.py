"""The clock of the machine when it is set, and the one that tests turn."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from backend.clock import DAY, FakeClock, SystemClock

START = datetime(2026, 3, 1, tzinfo=UTC)


class Machine:
    """Two clocks as an operating system has them: one that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.set, self.steady = START.timestamp(), 100.0
        self.stops = 0.0  # seconds for which we are stopped between two looks at them, once

    def wall(self) -> float:
        seen = self.set + self.steady
        self.steady, self.stops = self.steady + self.stops, 0.0
        return seen

    def clock(self) -> SystemClock:
        return SystemClock(self.wall, lambda: self.steady)


def test_a_clock_that_is_set_says_by_how_much_in_all_and_how_long_ago(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    clock = machine.clock()
    assert (clock.shift, clock.since_jump, clock.warning) == (timedelta(), None, "")
    machine.set += 5 * 3600
    assert clock.now() == START + timedelta(hours=5, seconds=100)
    machine.steady += 7
    machine.set -= 8 * 3600
    with caplog.at_level(logging.WARNING):
        clock.now()
    assert (clock.shift, clock.jumps, clock.since_jump) == (timedelta(hours=-3), 2, 0)
    assert clock.warning == "went back by 8:00:00 to 2026-02-28 21:01:47 UTC"
    assert clock.warning in caplog.text
    machine.steady += DAY + 1
    clock.now()
    assert (clock.jumps, clock.warning) == (2, "")


def test_a_clock_that_is_kept_in_step_or_a_process_that_was_stopped_is_no_jump() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.set += 1.5
    clock.now()
    machine.set -= 3
    clock.now()
    machine.stops = 3600.0  # SIGSTOP, just then
    clock.now()
    clock.now()
    assert (clock.jumps, clock.shift) == (0, timedelta())


async def test_who_sleeps_until_a_moment_is_woken_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.clock.LOOK", 0.01)
    machine = Machine()
    clock = machine.clock()
    looking = asyncio.create_task(clock.run())
    sleeper = asyncio.create_task(clock.sleep_until(clock.now() + timedelta(hours=3)))
    await asyncio.sleep(0)
    machine.set -= 3600
    async with asyncio.timeout(10):
        await sleeper
    looking.cancel()


async def test_a_pause_is_as_long_as_it_is_wherever_the_clock() -> None:
    clock = FakeClock(START)
    pause = asyncio.create_task(clock.sleep(10))
    until = asyncio.create_task(clock.sleep_until(START + timedelta(seconds=10)))
    await asyncio.sleep(0)
    await clock.set(3600)
    assert (pause.done(), until.done()) == (False, True)
    await clock.set(-7200)
    await clock.advance(9)
    assert not pause.done()
    await clock.advance(1)
    assert pause.done()
    assert clock.now() == START - timedelta(seconds=3600 - 10)
