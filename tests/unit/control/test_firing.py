"""Policies where they meet the store: overlap, jitter, pauses that end, deadlines, and what follows several."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from backend.control.followers import Followers
from backend.control.ticks import Ticker
from backend.run.ids import short
from backend.run.state import Run, RunState
from backend.schedule.model import Schedule
from backend.schedule.moments import delay
from backend.store import keys
from backend.store.records import change_run
from tests.unit.control.scene import NOON, Scene

HOURLY = Schedule("s", "p", "cron", ("0 * * * *",), created=NOON, last_tick=NOON)


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    for name in ("p", "q", "r"):
        await scene.pipeline(name)
    return scene


def hours(runs: list[Run]) -> list[int]:
    return [run.logical_time.hour for run in runs]


async def end(scene: Scene, run: Run) -> None:
    await scene.store.commit([], change_run(run, replace(run, state=RunState.SUCCEEDED, ended=scene.clock.now())))


async def test_skip_makes_no_run_while_one_is_active_and_says_so(scene: Scene) -> None:
    await scene.put(replace(HOURLY, overlap="skip"))
    async with scene.watching():
        await scene.advance(hours=3)
        (first,) = await scene.runs()
        assert (await scene.schedule()).message == (
            f"the tick of 2026-03-02T15:00:00+00:00 made no run: run {short(first.id)} of it is still active"
        )
        await end(scene, first)
        await scene.advance(hours=1)
    assert hours(await scene.runs()) == [13, 16]
    assert ((await scene.schedule()).message, (await scene.schedule()).last_tick) == ("", NOON + timedelta(hours=4))


@pytest.mark.parametrize("overlap", ["", "queue", "replace"])
async def test_other_overlaps_are_written_into_the_run(scene: Scene, overlap: str) -> None:
    await scene.put(replace(HOURLY, overlap=overlap))
    async with scene.watching():
        await scene.advance(hours=2)
    assert [run.trigger.overlap for run in await scene.runs()] == [overlap, overlap]


async def test_a_run_with_jitter_starts_later_and_stands_for_its_tick(scene: Scene) -> None:
    schedule = replace(HOURLY, jitter=1200)
    await scene.put(schedule)
    async with scene.watching():
        await scene.settle()
        await scene.live(NOON + timedelta(hours=3, minutes=20))
    runs = await scene.runs()
    assert hours(runs) == [13, 14, 15]
    waited = [run.created - run.logical_time for run in runs if run.created]
    assert waited == [delay(schedule, run.logical_time) for run in runs]
    assert len(set(waited)) == 3


async def test_a_pause_ends_by_itself(scene: Scene) -> None:
    until = NOON + timedelta(hours=2, minutes=30)
    await scene.put(replace(HOURLY, paused=True, paused_by="ann", paused_reason="moves", paused_until=until))
    async with scene.watching():
        await scene.advance(hours=2)
        assert (await scene.schedule()).paused
        await scene.advance(hours=2)
    assert hours(await scene.runs()) == [15, 16]
    schedule = await scene.schedule()
    assert (schedule.paused, schedule.paused_reason, schedule.paused_until) == (False, "", None)


async def test_a_run_knows_its_deadline(scene: Scene) -> None:
    await scene.put(replace(HOURLY, deadline="90m", zone="Europe/Berlin"))
    async with scene.watching():
        await scene.advance(hours=1)
    (run,) = await scene.runs()
    assert run.due_by == NOON + timedelta(hours=2, minutes=30)


async def test_seconds(scene: Scene) -> None:
    await scene.put(replace(HOURLY, cron=("* * * * * */20",), catch_up="none"))
    async with scene.watching():
        await scene.advance(minutes=1)
    assert [run.logical_time.second for run in await scene.runs()] == [20, 40, 0]


def joined(**more: object) -> Schedule:
    return Schedule("f", "q", "after", after=("p", "r/t"), join="all", created=NOON, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("turns", range(0, 60, 2))
async def test_all_of_several_start_one_wherever_the_process_is_killed(scene: Scene, turns: int) -> None:
    await scene.put(joined())
    async with scene.watching(Followers):
        await scene.settle()
        for day in range(3):
            await scene.end("p", moment=NOON + timedelta(days=day))
            await scene.end("r", moment=NOON + timedelta(days=day, minutes=1), outputs={"t": f"{day}"})
        await scene.settle(turns)
    async with scene.watching(Followers):
        await scene.settle()
    runs = [run for run in await scene.runs() if run.pipeline == "q"]
    # outputs of a run that is not the latest any more when it is looked at are not asked about
    assert len(runs) in (1, 2, 3)
    assert runs[-1].logical_time == NOON + timedelta(days=2, minutes=1)
    assert [kv async for page in scene.store.scan(keys.ENDED) for kv in page.items] == []
    again = len(runs)
    async with scene.watching(Followers):
        await scene.settle()
    assert len([run for run in await scene.runs() if run.pipeline == "q"]) == again


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_each_end_counts_once_for_each_of_many_followers(scene: Scene, turns: int) -> None:
    for number in range(5):
        await scene.put(Schedule(f"f{number}", "q", "after", after=("p",), created=NOON))
    async with scene.watching(Followers), scene.watching(Followers):
        await scene.settle()
        await scene.end("p")
        await scene.end("p", moment=NOON + timedelta(minutes=1))
        await scene.settle(turns)
    async with scene.watching(Followers):
        await scene.settle(1000)
    runs = [run for run in await scene.runs() if run.pipeline == "q"]
    assert sorted(run.trigger.schedule for run in runs) == sorted(f"f{n}" for n in range(5) for _ in range(2))


async def test_an_output_that_did_not_change_starts_nothing(scene: Scene) -> None:
    await scene.put(Schedule("f", "q", "after", after=("p/t",), seen={"p/t": "1"}, created=NOON))
    async with scene.watching(Followers):
        for minute, content in enumerate(["1", "2", "2", "3"]):
            await scene.end("p", moment=NOON + timedelta(minutes=minute), outputs={"t": content})
            await scene.settle()
        # a run of an older logical time is good, but not the latest
        await scene.end("p", moment=NOON - timedelta(days=9))
        await scene.settle()
    assert [run.logical_time.minute for run in await scene.runs() if run.pipeline == "q"] == [1, 3]


async def test_a_follower_that_skips_overlaps(scene: Scene) -> None:
    await scene.put(Schedule("f", "q", "after", after=("p",), overlap="skip", created=NOON))
    async with scene.watching(Followers, Ticker):
        for minute in range(3):
            await scene.end("p", moment=NOON + timedelta(minutes=minute))
            await scene.settle()
    assert len([run for run in await scene.runs() if run.pipeline == "q"]) == 1
    assert "is still active" in (await scene.schedule("f")).message
