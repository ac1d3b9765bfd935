"""Runs that have had their time are removed, with all that is theirs and nothing that is another's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from backend.artifacts import FolderStore
from backend.clock import FakeClock
from backend.control.retaining import Retaining
from backend.errors import ArtifactError
from backend.logs import LogStore
from backend.spec.model import Retention
from backend.store import keys
from backend.store.catalogue import Catalogue
from backend.store.feed import Feed
from tests.scenarios.world import World

pytestmark = pytest.mark.sandbox
FOREVER = Retention()


class Grudging(FolderStore):
    """Fails the first time that it is to remove something: as if the daemon had died then."""

    failed = False

    async def remove(self, run: str) -> None:
        if not self.failed:
            self.failed = True
            raise ArtifactError("not now")
        await super().remove(run)


@contextlib.asynccontextmanager
async def retaining(world: World, clock: FakeClock, usual: Retention = FOREVER) -> AsyncIterator[None]:
    feed = Feed(world.store)
    artifacts, logs = Grudging(world.layout), LogStore(world.layout, clock)
    work = Retaining(world.store, feed, Catalogue(world.store), artifacts, logs, clock, list, usual)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(feed.run())]
        await feed.started.wait()
        running.append(tasks.create_task(work.run()))
        try:
            yield
        finally:
            for task in running:
                task.cancel()


async def left(world: World, runs: list[str], wanted: list[int]) -> None:
    """Wait until these of the runs (by their numbers) are left, and no mark of those that were removed."""

    async def there() -> list[int]:
        found = await world.store.get_many([keys.run(run) for run in runs])
        return [number for number, kv in enumerate(found) if kv is not None]

    async def removing() -> int:
        page = await world.store.page(keys.REMOVING, keys.after(keys.REMOVING), keys_only=True)
        return page.count

    async with asyncio.timeout(20):
        now = await world.store.page("", "\x7f", limit=1, keys_only=True)
        changes = world.store.watch("", now.revision + 1)
        while await there() != wanted or await removing():
            await anext(changes)


async def test_the_newest_stay_and_with_them_what_they_are_made_of(world: World) -> None:
    make = {"script": 'echo made; echo 1 > "$KHAN_OUTPUT_x"', "outputs": ["x"], "cache": True}
    loud = {"script": "echo loud"}
    document = {"outputs": {"x": {}}, "stages": {"make": make, "loud": loud}}
    await world.apply("p", **document, retention={"runs": 2})
    async with world.engine():
        runs = [(await world.ended(await world.start("p"))).id for _ in range(4)]
        for run in runs:
            while not world.layout.archived_log(run, "loud", 1).exists():
                await asyncio.sleep(0.01)
    stages = await world.stages(runs[3])
    assert stages["make"].reused_from == runs[0]
    clock = FakeClock(world.clock.now() + timedelta(days=1))
    async with retaining(world, clock):
        await left(world, runs, [0, 2, 3])  # the first is beyond the two, but others have its file as theirs
        assert not (world.layout.attempts / runs[1]).exists()
        assert not (world.layout.logs / runs[1]).exists()
        assert (world.layout.root / stages["make"].outputs["x"].location).read_text() == "1\n"
        assert world.layout.archived_log(runs[0], "make", 1).exists()

        await world.apply("p", **{**document, "stages": {"make": {**make, "script": make["script"] + "; :"}}},
                          retention={"runs": 1})  # fmt: skip
    async with world.engine():
        runs.append((await world.ended(await world.start("p"))).id)
    async with retaining(world, FakeClock(world.clock.now() + timedelta(days=2))):
        await left(world, runs, [4])
    names = {key.key.split("/")[0] for key in (await world.store.page("", "\x7f", keys_only=True)).items}
    assert "held" not in names
    assert [p.name for p in world.layout.attempts.iterdir()] == [runs[4]]
    results = await world.store.page(keys.results("p"), keys.after(keys.results("p")), keys_only=True)
    assert results.count == 1


async def test_they_go_when_they_are_old_and_what_runs_does_not(world: World) -> None:
    await world.apply("p", stages={"a": {"script": "true"}}, retention={"age": "1h"})
    async with world.engine():
        ended = (await world.ended(await world.start("p"))).id
    active = await world.start("p")
    clock = FakeClock(world.clock.now())
    async with retaining(world, clock):
        await clock.advance(1800)
        await left(world, [ended, active], [0, 1])
        await clock.advance(1900)
        await left(world, [ended, active], [1])


async def test_with_the_last_run_goes_what_was_brought_from_outside(world: World, tmp_path: Path) -> None:
    for name, retention in (("kept", {}), ("gone", {"age": "1h"})):
        (tmp_path / name).write_text(name)
        stages = {"a": {"script": "true", "inputs": ["x"]}}
        await world.apply(name, stages=stages, inputs={"x": {"uri": f"file://{tmp_path}/{name}"}}, retention=retention)
    async with world.engine():
        runs = [(await world.ended(await world.start(name))).id for name in ("kept", "gone")]
    assert len(list(world.layout.inputs.iterdir())) == 2
    clock = FakeClock(world.clock.now() + timedelta(days=2))
    async with retaining(world, clock):
        await left(world, runs, [0])
        async with asyncio.timeout(10):
            while len(list(world.layout.inputs.iterdir())) > 1:
                await clock.advance(3600)
    assert [p.read_text() for p in world.layout.inputs.iterdir()] == ["kept"]


async def test_where_a_document_says_nothing_the_daemon_is_asked(world: World) -> None:
    stages = {"a": {"script": "true"}}
    for name, said in (("silent", {}), ("own", {"retention": {"runs": 2}}), ("forever", {"retention": {}})):
        await world.apply(name, stages=dict(stages), **said)
    async with world.engine():
        runs = {
            name: [(await world.ended(await world.start(name))).id for _ in range(3)]
            for name in ("silent", "own", "forever")
        }
    clock = FakeClock(world.clock.now() + timedelta(days=1))
    async with retaining(world, clock, Retention(runs=1)):
        await left(world, runs["silent"], [2])
        await left(world, runs["own"], [1, 2])
        await left(world, runs["forever"], [0, 1, 2])
