"""Versions of pipelines, parsed once; the stages of others that they use are those they were pinned to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.errors import NotFound
from backend.store import keys
from backend.store.base import Delete, KeyValue, Put
from backend.store.catalogue import Catalogue
from backend.store.codec import encode
from backend.store.memory import MemoryStore
from backend.store.records import Pin, PipelineHead, Version


class Counting(MemoryStore):
    """Knows what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def get(self, key: str) -> KeyValue | None:
        self.asked.append(key)
        return await super().get(key)


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def catalogue(store: Counting) -> Catalogue:
    return Catalogue(store, keep=3)


async def apply(store: Counting, name: str, number: int, pins: dict[str, Pin] | None = None, **stages: Any) -> None:
    document = json.dumps({"name": name, "stages": stages or {"only": {"image": "shell", "script": f"echo {number}"}}})
    head, version = PipelineHead(name, number), Version(name, number, document, pins=pins or {})
    await store.commit([], [Put(keys.pipeline(name), encode(head)), Put(keys.version(name, number), encode(version))])


async def test_the_current_version_and_earlier_ones(store: Counting, catalogue: Catalogue) -> None:
    for number in (1, 2):
        await apply(store, "weekly", number)
    assert (await catalogue.head("weekly")).version == 2
    assert (await catalogue.current("weekly")).pipeline.stages["only"].script == "echo 2"
    first = await catalogue.load("weekly", 1)
    assert (first.record.version, first.pipeline.stages["only"].script) == (1, "echo 1")
    assert list(first.plan.instances) == ["only"]


async def test_a_new_version_is_current_at_once(store: Counting, catalogue: Catalogue) -> None:
    await apply(store, "weekly", 1)
    assert (await catalogue.current("weekly")).record.version == 1
    await apply(store, "weekly", 2)
    assert (await catalogue.current("weekly")).record.version == 2


async def test_a_version_outlives_its_pipeline(store: Counting, catalogue: Catalogue) -> None:
    await apply(store, "weekly", 1)
    await store.commit([], [Delete(keys.pipeline("weekly"))])
    assert (await catalogue.load("weekly", 1)).record.version == 1
    with pytest.raises(NotFound):
        await catalogue.current("weekly")


async def test_what_there_is_not(store: Counting, catalogue: Catalogue) -> None:
    await apply(store, "weekly", 1)
    with pytest.raises(NotFound, match="no pipeline 'daily'") as error:
        await catalogue.current("daily")
    assert error.value.hint
    with pytest.raises(NotFound, match="'weekly' has no version 7"):
        await catalogue.load("weekly", 7)


async def test_a_version_is_read_once_as_long_as_it_is_used(store: Counting, catalogue: Catalogue) -> None:
    for name in "abcd":
        await apply(store, name, 1)
    for name in "abcacd":  # keeps three: d drives out b, which was used longest ago
        assert (await catalogue.load(name, 1)) is await catalogue.load(name, 1)
    assert store.asked == [keys.version(name, 1) for name in "abcd"]
    await catalogue.load("a", 1)
    await catalogue.load("b", 1)
    assert store.asked[4:] == [keys.version("b", 1)]


async def test_a_stage_of_another_pipeline_stays_the_one_it_was_pinned_to(
    store: Counting, catalogue: Catalogue
) -> None:
    shared = {"image": "python", "run": ["python3", "clean.py"], "timeout": "20m"}
    await apply(store, "shared", 1, clean=shared)
    await apply(store, "shared", 2, clean={**shared, "run": ["python3", "cleaner.py"]})
    pins = {"mine": Pin("shared", 1, "clean")}
    await apply(store, "weekly", 1, pins, mine={"uses": "shared/clean", "timeout": "5m"})
    stage = (await catalogue.current("weekly")).pipeline.stages["mine"]
    assert (stage.image, stage.run, stage.timeout) == ("python", ("python3", "clean.py"), 300)


async def test_a_stage_may_be_taken_from_one_that_takes_it_itself(store: Counting, catalogue: Catalogue) -> None:
    await apply(store, "a", 1, one={"image": "shell", "script": "echo one"})
    await apply(store, "b", 1, {"two": Pin("a", 1, "one")}, two={"uses": "a/one"})
    await apply(store, "c", 1, {"three": Pin("b", 1, "two")}, three={"uses": "b/two"})
    assert (await catalogue.current("c")).pipeline.stages["three"].script == "echo one"
    await store.commit([], [Delete(keys.version("a", 1))])
    with pytest.raises(NotFound, match="'a' has no version 1"):
        await Catalogue(store).current("c")
