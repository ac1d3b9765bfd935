"""A year of schedules in many zones, their daemon killed again and again: each tick makes one run, or none by policy.

Time is a fake clock's, that goes from alarm to alarm. The store takes a few turns of the loop for each operation, so
that a process can be killed before, amid and after each of them; some kills are followed by an absence of minutes or
days. What is expected comes from the schedules' moments and the log of absences alone.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from backend.clock import FakeClock
from backend.run.state import Run
from backend.schedule.model import Schedule
from backend.schedule.moments import between, delay
from backend.store.base import Condition, Delete, Put
from tests.unit.control.scene import NOON, Flaky, Scene

ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Pacific/Apia"),
    *("Asia/Kathmandu", "Antarctica/Troll", "Africa/Cairo", "Pacific/Chatham", "America/St_Johns", "Asia/Tokyo"),
)
ON_TIME = timedelta(seconds=60)


class Slow(Flaky):
    """A store each of whose operations takes a few turns of the loop; `under_way` says how many there are."""

    def __init__(self, clock: FakeClock, dice: random.Random) -> None:
        super().__init__(clock)
        self._dice = dice
        self.under_way = 0

    async def get(self, key: str) -> Any:
        return await self._slowly(super().get(key))

    async def commit(self, conditions: list[Condition], changes: list[Put | Delete]) -> int | None:
        return await self._slowly(super().commit(conditions, changes))

    async def _slowly(self, operation: Any) -> Any:
        self.under_way += 1
        try:
            for _ in range(self._dice.randrange(3)):
                await asyncio.sleep(0)
            answer = await operation
            for _ in range(self._dice.randrange(3)):
                await asyncio.sleep(0)
            return answer
        finally:
            operation.close()
            self.under_way -= 1


class Year(Scene):
    """Processes that come and go, and when they were there."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = random.Random(seed)
        self.store = self.slow = Slow(self.clock, self.dice)
        self.away: list[tuple[datetime, datetime]] = []  # killed, and there again

    async def calm(self) -> None:
        """Wait until nothing has been under way for a while."""
        quiet = 0
        while quiet < 12:
            await asyncio.sleep(0)
            quiet = 0 if self.slow.under_way else quiet + 1

    async def be_killed(self, times: list[datetime], absences: Iterable[timedelta]) -> None:
        """A process until each of these moments, at which it is killed amid what it does; then another one.

        One that comes up only after its moment is killed as it begins.
        """
        for moment, absence in zip(times, absences, strict=False):
            async with self.watching():
                if moment > self.clock.now():
                    await self.calm()
                    await self.live(moment - timedelta(milliseconds=1))
                    await self.clock.advance((moment - self.clock.now()).total_seconds())
                for _ in range(self.dice.randrange(60)):
                    await asyncio.sleep(0)
            gone = self.clock.now()
            await self.clock.advance(absence.total_seconds())
            if self.away and self.away[-1][1] == gone:  # it was hardly there
                gone = self.away.pop()[0]
            self.away.append((gone, self.clock.now()))


def schedules(number: int, begin: datetime, dice: random.Random) -> list[Schedule]:
    """Of all kinds that go by the clock, and all policies, evenly."""
    found = []
    for index in range(number):
        zone, name = ZONES[index % len(ZONES)], f"s{index}"
        hour, minute = dice.choice((0, 1, 2, 2, 3, 6, 23)), dice.choice((0, 0, 15, 30, 45))
        what: dict[str, Any] = dice.choice(
            [
                {"cron": (f"{minute} {hour} * * *",)},
                {"cron": (f"{minute} {hour} * * MON-FRI",)},
                {"cron": (f"{minute} {hour} * * SAT", f"{minute} 12 1 * *")},
                {"cron": (f"{minute} */12 * * *",)},
                {"cron": ("@weekly",)},
                {"every": 86_400 + 3600 * dice.randrange(10)},
                {"at": begin + timedelta(days=dice.randrange(1, 360), hours=hour)},
            ]
        )
        kind = "cron" if "cron" in what else "every" if "every" in what else "once"
        if dice.random() < 0.2:
            what["jitter"] = 1800
        if dice.random() < 0.1:
            what["skip"] = ("12-25", "2026-05-01..2026-05-10")
        if index % 10 == 7:
            what["calendars"] = {"holidays": ("12-26", "2026-03-10..2026-03-14")}
        if dice.random() < 0.1:
            what |= {"start": begin + timedelta(days=30), "end": begin + timedelta(days=200)}
        policy = dice.choice(("all", "all", "latest", "none"))
        found.append(
            Schedule(name, "p", kind, zone=zone, catch_up=policy, created=begin, last_tick=begin, **what)  # type: ignore[arg-type]
        )
    return found


def check(schedule: Schedule, runs: list[Run], away: list[tuple[datetime, datetime]], end: datetime) -> int:
    """Hold the runs of a schedule against what should be: how many ticks there were."""
    assert schedule.created is not None
    ticks = [t for t in between(schedule, schedule.created, end) if t + delay(schedule, t) <= end]
    made = {run.logical_time: run for run in runs}
    assert len(made) == len(runs), "a tick made two runs"
    assert made.keys() <= set(ticks), "a run without a tick"
    if schedule.catch_up == "all":
        assert sorted(made) == ticks
        return len(ticks)
    starts = [(tick, tick + delay(schedule, tick)) for tick in ticks]
    for tick, at in starts:
        absence = next(((gone, back) for gone, back in away if gone <= at < back), None)
        run = made.get(tick)
        if run is not None and run.created is not None and run.created - at >= ON_TIME:
            assert schedule.catch_up == "latest", "made up for, against the policy"
            newer = [a for t, a in starts if t > tick and a <= run.created]
            assert not newer, "made up for, though a newer one was missed too"
        if absence is None or absence[1] - at < ON_TIME:
            assert run is not None, f"{tick} was lost, with nobody away"
        elif schedule.catch_up == "latest" and not any(t > tick and a <= absence[1] for t, a in starts):
            assert run is not None, f"{tick} was the newest one missed, and not made up for"
    return len(ticks)


async def a_year(number: int, days: int, kills: int, seed: int) -> tuple[int, int]:
    """Ticks and runs of so many schedules over so many days, with so many kills."""
    year = Year(seed)
    await year.pipeline()
    end = NOON + timedelta(days=days)
    made = schedules(number, NOON, year.dice)
    for schedule in made:
        await year.put(schedule)
    all_ticks = [t + delay(s, t) for s in made for t in between(s, NOON, end - timedelta(days=5))]
    times = sorted(year.dice.choice(all_ticks) for _ in range(kills))
    spans = (
        timedelta(seconds=year.dice.choice((0, 0, 0, 0.5, 30, 90, 3600, 86_400 * year.dice.randrange(1, 4))))
        for _ in count()
    )
    await year.be_killed(times, spans)
    async with year.watching():
        await year.calm()
        await year.live(max(end, year.clock.now()))
    runs: dict[str, list[Run]] = defaultdict(list)
    for run in await year.runs():
        runs[run.trigger.schedule].append(run)
    ticks = sum(check(schedule, runs[schedule.name], year.away, year.clock.now()) for schedule in made)
    return ticks, sum(map(len, runs.values()))


async def test_a_month_and_many_deaths() -> None:
    ticks, runs = await a_year(number=48, days=30, kills=30, seed=1)
    assert ticks > 500
    assert runs > ticks * 0.7


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_year_of_500_schedules_in_12_zones_and_200_deaths() -> None:
    ticks, runs = await a_year(number=500, days=365, kills=200, seed=2)
    assert ticks > 50_000
    assert runs > ticks * 0.7
