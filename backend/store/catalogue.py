"""Pipelines' versions, parsed and planned, once each: a version never changes, so what was read stays true."""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from msgspec import Struct

from backend.errors import NotFound
from backend.spec.graph import Plan, plan
from backend.spec.model import Pipeline
from backend.spec.parse import read_stored
from backend.spec.uses import take
from backend.store import keys
from backend.store.base import Store
from backend.store.codec import decode
from backend.store.records import PipelineHead, Version


class Loaded(Struct, frozen=True):
    """A version, ready to run: `pipeline` has the stages that its `uses` stand for filled in."""

    record: Version
    pipeline: Pipeline
    plan: Plan


class Catalogue:
    """Reads versions; keeps the last few hundred used ones."""

    def __init__(self, store: Store, *, keep: int = 500) -> None:
        self._store = store
        self._keep = keep
        self._loaded: OrderedDict[tuple[str, int], Loaded] = OrderedDict()

    async def head(self, name: str) -> PipelineHead:
        """What lists show of the pipeline. Raises NotFound."""
        found = await self._store.get(keys.pipeline(name))
        if found is None:
            raise NotFound(f"there is no pipeline {name!r}", hint="khantui pipelines lists them")
        return decode(found.value, PipelineHead)

    async def current(self, name: str) -> Loaded:
        """The pipeline's current version. Raises NotFound."""
        return await self.load(name, (await self.head(name)).version)

    async def load(self, name: str, number: int) -> Loaded:
        """One version of a pipeline, also if the pipeline was deleted since. Raises NotFound."""
        at = (name, number)
        if at in self._loaded:
            self._loaded.move_to_end(at)
            return self._loaded[at]
        found = await self._store.get(keys.version(name, number))
        if found is None:
            raise NotFound(f"pipeline {name!r} has no version {number}", hint=f"khantui history {name}")
        loaded = await self.resolve(decode(found.value, Version))
        self._loaded[at] = loaded
        while len(self._loaded) > self._keep:
            self._loaded.popitem(last=False)
        return loaded

    async def resolve(self, record: Version) -> Loaded:
        """Parses and plans a version, with the stages of other pipelines that it is pinned to."""
        pipeline = read_stored(record.document)
        if pipeline is None:  # it was linted before it was stored
            raise NotFound(f"version {record.version} of {record.pipeline!r} cannot be read any more")
        stages = dict(pipeline.stages)
        for name, pin in record.pins.items():
            other = await self.load(pin.pipeline, pin.version)
            stages[name] = take(stages[name], other.pipeline.stages[pin.stage])
        whole = msgspec.structs.replace(pipeline, stages=stages)
        return Loaded(record, whole, plan(whole))
