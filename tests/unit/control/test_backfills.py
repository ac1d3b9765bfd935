"""Backfills where they meet the store: one run for each logical time, wherever the process dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from backend.control.backfills import Backfills
from backend.run.state import Run, RunState
from backend.schedule.backfill import Backfill, Steps
from backend.store import keys
from backend.store.base import Delete, Put
from backend.store.codec import decode, encode
from backend.store.records import change_run, delete_run
from tests.unit.control.scene import NOON, Scene

DAYS = 5


class Filling(Scene):
    """A store with a backfill, and runs that come to an end."""

    async def fill(self, **more: Any) -> None:
        start, end = NOON - timedelta(days=DAYS), NOON - timedelta(days=1)
        backfill = Backfill("b", "p", start, end, Steps(every=86400, zone="Europe/Berlin"), "1d",
                            created=NOON, created_by="ann", total=DAYS)  # fmt: skip
        await self.change(replace(backfill, **more))

    async def change(self, backfill: Backfill) -> None:
        await self.store.commit([], [Put(keys.backfill("b"), encode(backfill))])

    async def backfill(self) -> Backfill:
        found = await self.store.get(keys.backfill("b"))
        assert found is not None
        return decode(found.value, Backfill)

    async def finish(self, run: Run, state: RunState = RunState.SUCCEEDED) -> None:
        await self.store.commit([], change_run(run, replace(run, state=state, ended=self.clock.now())))

    async def active(self) -> list[Run]:
        return [run for run in await self.runs() if not run.state.ended]

    async def to_its_end(self, turns: int = 100) -> None:
        """A process, and runs that all end well, until nothing more comes."""
        async with self.watching(Backfills):
            for _ in range(DAYS + 2):
                await self.settle(turns)
                for run in await self.active():
                    await self.finish(run)
            await self.settle(turns)

    @contextlib.asynccontextmanager
    async def ending(self) -> AsyncIterator[None]:
        """Meanwhile each run ends well a few turns after it was made."""

        async def end() -> None:
            while True:
                for run in await self.active():
                    await self.finish(run)
                await asyncio.sleep(0)
                await asyncio.sleep(0)

        task = asyncio.create_task(end())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def scene() -> Filling:
    scene = Filling()
    await scene.pipeline()
    return scene


def days(runs: list[Run]) -> list[int]:
    return [run.logical_time.day for run in runs]


ALL = [25, 26, 27, 28, 1]


async def test_each_logical_time_has_a_run_so_many_at_once(scene: Filling) -> None:
    await scene.fill(parallel=2, parameters={"region": "eu"})
    async with scene.watching(Backfills):
        await scene.settle()
        assert days(await scene.runs()) == ALL[:2]
        first, second = await scene.runs()
        await scene.finish(second, RunState.FAILED)
        await scene.settle()
        assert days(await scene.active()) == [ALL[0], ALL[2]]
        backfill = await scene.backfill()
        assert (backfill.failed, len(backfill.active), backfill.dealt) == (1, 2, 3)
        trigger = (first.trigger.kind, first.trigger.backfill, first.trigger.by)
        assert (*trigger, first.parameters["region"], first.zone) == ("backfill", "b", "ann", "eu", "Europe/Berlin")
        assert first.logical_time.isoformat() == "2026-02-25T13:00:00+01:00"
    await scene.to_its_end()
    backfill = await scene.backfill()
    assert (backfill.state, backfill.succeeded, backfill.failed, backfill.active) == ("failed", 4, 1, ())
    assert days(await scene.runs()) == ALL
    ids = [run.id for run in await scene.runs()]
    assert ids == sorted(ids)
    page = await scene.store.page(keys.by_backfill("b"), keys.after(keys.by_backfill("b")))
    assert sorted(keys.run_of(item.key) for item in page.items) == ids


@pytest.mark.parametrize("turns", range(0, 160, 2))
async def test_a_process_killed_at_any_moment_makes_no_run_twice_and_loses_none(scene: Filling, turns: int) -> None:
    await scene.fill(parallel=2)
    async with scene.ending(), scene.watching(Backfills):
        await scene.settle(turns)
    made = [run.id for run in await scene.runs()]
    await scene.to_its_end()
    assert days(await scene.runs()) == ALL
    assert made == [run.id for run in await scene.runs()][: len(made)]
    backfill = await scene.backfill()
    assert (backfill.state, backfill.succeeded, backfill.skipped) == ("succeeded", DAYS, 0)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 8))
async def test_a_commit_that_fails_is_made_good(scene: Filling, how: str, number: int) -> None:
    await scene.fill(parallel=2)
    scene.store.fails = {scene.store.commits + number: how}
    async with scene.watching(Backfills):
        for _ in range(3 * DAYS):
            await scene.settle()
            for run in await scene.active():
                scene.store.fails = {k: v for k, v in scene.store.fails.items() if k > scene.store.commits}
                with contextlib.suppress(Exception):
                    await scene.finish(run)
            await scene.clock.advance(2)
    assert days(await scene.runs()) == ALL
    assert (await scene.backfill()).succeeded == DAYS


async def test_two_processes_make_each_run_once(scene: Filling) -> None:
    await scene.fill(parallel=3)
    async with scene.watching(Backfills):
        await scene.to_its_end()
        await scene.clock.advance(2)
        await scene.settle()
    assert days(await scene.runs()) == ALL
    assert (await scene.backfill()).succeeded == DAYS


async def test_newest_first(scene: Filling) -> None:
    await scene.fill(order="newest")
    await scene.to_its_end()
    runs = sorted(await scene.runs(), key=lambda run: run.id)
    assert days(runs) == ALL[::-1]


async def good(scene: Filling, day: int, **parameters: str) -> None:
    moment = NOON - timedelta(days=DAYS - day)
    ended = await scene.end("p", RunState.SUCCEEDED, moment)
    if parameters:
        await scene.store.commit([], delete_run(ended))
        queued = replace(ended, state=RunState.QUEUED, parameters=parameters)
        await scene.store.commit([], change_run(queued, replace(ended, parameters=parameters)))


async def test_what_is_good_already_is_left_out(scene: Filling) -> None:
    await good(scene, 0)
    await good(scene, 3)
    await scene.end("p", RunState.FAILED, NOON - timedelta(days=DAYS - 1))
    await scene.fill()
    await scene.to_its_end()
    runs = [run for run in await scene.runs() if run.trigger.backfill]
    assert days(runs) == [ALL[1], ALL[2], ALL[4]]
    assert (await scene.backfill()).skipped == 2


async def test_what_was_good_before_such_was_noted_is_left_out_too(scene: Filling) -> None:
    for day in range(DAYS - 1):
        await good(scene, day)
    await scene.store.commit([], [Delete("good/", prefix=True)])
    await scene.fill()
    await scene.to_its_end()
    backfill = await scene.backfill()
    assert (backfill.skipped, backfill.succeeded) == (DAYS - 1, 1)
    await scene.store.commit([], [Delete(keys.good("p", NOON - timedelta(days=DAYS)), prefix=True)])
    async with scene.watching(Backfills):  # it is done once
        await scene.settle()
    page = await scene.store.page("good/", keys.after("good/"), count_only=True)
    assert page.count == DAYS - 1


async def test_good_with_other_parameters_is_not_good(scene: Filling) -> None:
    await good(scene, 0, region="us")
    await good(scene, 1, region="eu")
    await scene.fill(parameters={"region": "eu"})
    await scene.to_its_end()
    runs = [run for run in await scene.runs() if run.trigger.backfill]
    assert days(runs) == [ALL[0], ALL[2], ALL[3], ALL[4]]


async def test_all_are_good_already(scene: Filling) -> None:
    for day in range(DAYS):
        await good(scene, day)
    await scene.fill()
    async with scene.watching(Backfills):
        await scene.settle()
    backfill = await scene.backfill()
    assert (backfill.state, backfill.skipped, backfill.ended) == ("succeeded", DAYS, NOON)
    assert [run for run in await scene.runs() if run.trigger.backfill] == []


async def test_rerun_takes_them_all(scene: Filling) -> None:
    await good(scene, 2)
    await scene.fill(rerun=True, fresh=True)
    await scene.to_its_end()
    assert days(made := [run for run in await scene.runs() if run.trigger.backfill]) == ALL
    assert all(run.fresh for run in made)


async def test_a_pause_makes_no_more_and_counts_on(scene: Filling) -> None:
    await scene.fill(parallel=2)
    async with scene.watching(Backfills):
        await scene.settle()
        await scene.change(replace(await scene.backfill(), state="paused"))
        await scene.settle()
        for run in await scene.active():
            await scene.finish(run)
        await scene.settle()
        paused = await scene.backfill()
        assert (paused.succeeded, paused.active, paused.ended) == (2, (), None)
        await scene.change(replace(paused, state="running"))
        await scene.settle()
        assert days(await scene.runs()) == ALL[:4]


async def test_a_cancelled_one_makes_no_more_and_ends_with_its_runs(scene: Filling) -> None:
    await scene.fill(parallel=2)
    async with scene.watching(Backfills):
        await scene.settle()
        await scene.change(replace(await scene.backfill(), state="cancelling"))
        await scene.settle()
        assert (await scene.backfill()).ended is None
        for run in await scene.active():
            await scene.finish(run, RunState.CANCELLED)
        await scene.settle()
    backfill = await scene.backfill()
    assert (backfill.state, backfill.cancelled, len(await scene.runs())) == ("cancelled", 2, 2)


async def test_the_pipelines_limit_is_not_gone_beyond(scene: Filling) -> None:
    await scene.pipeline(concurrency={"limit": 2})
    await scene.fill(parallel=4)
    async with scene.watching(Backfills):
        await scene.settle()
        assert len(await scene.active()) == 2
    await scene.to_its_end()
    assert days(await scene.runs()) == ALL


async def test_a_run_that_is_gone_had_ended(scene: Filling) -> None:
    await scene.fill()
    async with scene.watching(Backfills):
        await scene.settle()
        (run,) = await scene.runs()
        await scene.store.commit([], [*delete_run(run), Delete(keys.active(run.id))])
        await scene.settle()
        assert (await scene.backfill()).cancelled == 1
        assert days(await scene.active()) == [ALL[1]]


async def test_what_keeps_it_from_going_on_is_said_and_seen_to(scene: Filling) -> None:
    await scene.fill(parameters={"colour": "red"})
    async with scene.watching(Backfills):
        await scene.settle()
        halted = await scene.backfill()
        assert (halted.state, halted.dealt) == ("paused", 0)
        assert "no parameter 'colour'" in halted.message
        await scene.change(replace(halted, state="running", parameters={}))
        await scene.settle()
        assert (await scene.backfill()).message == ""
    assert days(await scene.runs()) == ALL[:1]


async def test_many_at_once_do_not_hinder_each_other(scene: Filling) -> None:
    await scene.fill()
    for name in ("c", "d"):
        await scene.store.commit([], [Put(keys.backfill(name), encode(replace(await scene.backfill(), id=name)))])
    async with scene.ending(), scene.watching(Backfills):
        await scene.settle(3000)
    async for page in scene.store.scan(keys.BACKFILLS):
        # what one has made good, another leaves out
        counts = [decode(kv.value, Backfill) for kv in page.items]
        assert [(c.succeeded + c.skipped, c.state) for c in counts] == [(DAYS, "succeeded")] * 3
