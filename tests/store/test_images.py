"""Registered images as every daemon sees them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from backend.errors import StoreUnavailable
from backend.spec.images import IMAGES, Image
from backend.store import keys
from backend.store.base import Delete, Page, Put
from backend.store.codec import encode
from backend.store.feed import Feed
from backend.store.images import Images
from backend.store.memory import MemoryStore
from backend.store.records import RegisteredImage


def put(name: str, container: str = "example.org/x:1") -> Put:
    record = RegisteredImage(Image(name, "", ("sh",), "", (), container), datetime.now(UTC), "ann")
    return Put(keys.image(name), encode(record))


class Away(MemoryStore):
    """A store that cannot be reached a few times."""

    times = 0

    async def page(self, *args: object, **options: object) -> Page:
        if self.times:
            self.times -= 1
            raise StoreUnavailable("etcd is away")
        return await super().page(*args, **options)  # type: ignore[arg-type]


async def until(images: Images, *names: str) -> None:
    async with asyncio.timeout(20):
        while {*images} != {*IMAGES, *names}:
            await asyncio.sleep(0.001)


async def test_what_one_daemon_registers_all_know_without_asking() -> None:
    store = MemoryStore()
    await store.commit([], [put("before")])
    feed, images = Feed(store), Images(store)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(feed.run())]
        await feed.started.wait()
        running.append(tasks.create_task(images.run(feed)))
        await until(images, "before")
        await store.commit([], [put("after")])
        await until(images, "before", "after")
        assert images.registered("after") is not None
        assert images.registered("python") is None
        await store.commit([], [Delete(keys.image("before")), put("python", "example.org/python:4")])
        await until(images, "after", "python")
        assert images["python"].container == "example.org/python:4"
        await store.commit([], [Delete(keys.image("python"))])
        async with asyncio.timeout(20):
            while images["python"] != IMAGES["python"]:
                await asyncio.sleep(0.001)
        for task in running:
            task.cancel()


async def test_a_store_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.store.images._PAUSE", 0.001)
    store = Away()
    await store.commit([], [put("there")])
    feed, images = Feed(store), Images(store)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(feed.run())]
        await feed.started.wait()
        store.times = 2
        running.append(tasks.create_task(images.run(feed)))
        await images.loaded.wait()
        assert (store.times, "there" in images) == (0, True)
        for task in running:
            task.cancel()


async def test_a_value_that_is_none_does_not_hide_the_others() -> None:
    store = MemoryStore()
    await store.commit([], [Put(keys.image("broken"), b"{"), put("good")])
    images = Images(store)
    await images.load()
    assert {*images} == {*IMAGES, "good"}
