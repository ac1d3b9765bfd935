"""What is added is seen to: once however often asked, never twice at a time, again when it fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from backend.control.workqueue import WorkQueue
from backend.errors import ClusterUnavailable


@contextlib.asynccontextmanager
async def working(act: Callable[[str], Awaitable[None]], workers: int = 3) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue(act, workers=workers)
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_asked_often_it_is_done_once() -> None:
    done: list[str] = []

    async def act(name: str) -> None:
        done.append(name)

    async with working(act) as queue:
        for name in "abab":
            queue.add(name)
        await turns()
    assert done == ["a", "b"]


async def test_asked_while_it_is_done_it_is_done_once_more_afterwards() -> None:
    done: list[str] = []
    gate = asyncio.Event()

    async def act(name: str) -> None:
        done.append(name)
        await gate.wait()

    async with working(act) as queue:
        queue.add("a")
        await turns()
        for _ in range(3):
            queue.add("a")
        await turns()
        assert done == ["a"]
        gate.set()
        await turns()
    assert done == ["a", "a"]


async def test_no_more_at_a_time_than_there_are_workers() -> None:
    busy: set[str] = set()
    most = 0

    async def act(name: str) -> None:
        nonlocal most
        busy.add(name)
        most = max(most, len(busy))
        await turns(3)
        busy.discard(name)

    async with working(act) as queue:
        for number in range(30):
            queue.add(str(number))
        await turns(200)
    assert most == 3


async def test_what_fails_is_tried_again() -> None:
    tries = 0
    done = asyncio.Event()

    async def act(name: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ClusterUnavailable("away") if tries == 1 else RuntimeError("a mistake")
        done.set()

    async with working(act) as queue:
        queue.add("a")
        await asyncio.wait_for(done.wait(), 10)
    assert tries == 3
