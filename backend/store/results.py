"""Results that may stand for later ones: found by the hash of all that they were made from.

A result names the run that made it, and lies among that run's files. Whoever takes it as its own holds that run, in
the transaction that writes it down, on the condition that the run is there; whoever removes a run does so on the
condition that nobody holds it. So there is never a reference to what is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from backend.errors import StoreError
from backend.run.fingerprint import Fingerprint
from backend.run.state import ArtifactRecord, Run, StageRecord
from backend.spec.graph import Instance, Plan
from backend.store import keys
from backend.store.base import Condition, Delete, Put, Store
from backend.store.codec import decode, encode
from backend.store.records import External, Latest


class Result(Struct, frozen=True):
    """What an attempt has written; `outputs` are by the stage's own names."""

    run: str
    instance: str
    at: datetime
    outputs: dict[str, ArtifactRecord]


class Made(Struct, frozen=True):
    """What the newest result of an instance was made from."""

    run: str
    parts: dict[str, str]


def kept(run: Run, instance: Instance, record: StageRecord, made_from: Fingerprint, at: datetime) -> list[Put | Delete]:
    """What is written with a stage's record when it has succeeded, so that later runs find its result."""
    outputs = {own: record.outputs[artifact] for own, artifact in instance.outputs.items()}
    return [
        Put(
            keys.result(run.pipeline, instance.stage, made_from.digest),
            encode(Result(run.id, instance.name, at, outputs)),
        ),
        Put(keys.made(run.pipeline, instance.name), encode(Made(run.id, made_from.parts))),
    ]


async def hold(store: Store, holder: str, origins: Iterable[str]) -> tuple[list[Condition], list[Put | Delete]]:
    """What goes into the transaction that makes content of the runs `origins` a part of the run `holder`.

    Raises StoreError if one of them is gone.
    """
    conditions: list[Condition] = []
    changes: list[Put | Delete] = []
    wanted = sorted(set(origins) - {holder})
    for origin, found in zip(wanted, await store.get_many([keys.run(o) for o in wanted]), strict=True):
        if found is None:
            raise StoreError(f"run {origin} is gone, and with it what was to be taken from it")
        conditions.append(Condition(keys.run(origin), created=found.created))
        changes += [Put(keys.held(origin, holder), b""), Put(keys.held(origin), holder.encode())]
    return conditions, changes


async def unheld(store: Store, run: Run) -> Condition | None:
    """The condition that a run's removal must have: nobody has taken anything of it. None if somebody has, or will."""
    latest = await store.get(keys.latest(run.pipeline))
    if latest is not None and decode(latest.value, Latest).run == run.id:
        return None
    mark = keys.held(run.id)
    page = await store.page(mark, keys.after(mark), limit=2)
    if any(item.key != mark for item in page.items):
        return None
    return Condition(mark, modified=page.items[0].modified if page.items else 0)


async def origins_of(store: Store, run_id: str) -> list[str]:
    """The runs whose content a run has as its own."""
    origins: set[str] = set()
    async for page in store.scan(keys.stages(run_id)):
        origins |= {decode(item.value, StageRecord).reused_from for item in page.items}
    async for page in store.scan(keys.inputs(run_id)):
        origins |= {decode(item.value, External).run for item in page.items}
    return sorted(origins - {"", run_id})


async def forget(store: Store, run: Run, plan: Plan, conditions: list[Condition]) -> None:
    """Have no later run find the results of a run, which is to be removed. Raises StoreError."""
    found: dict[str, str] = {}
    async for page in store.scan(keys.stages(run.id)):
        for item in page.items:
            record = decode(item.value, StageRecord)
            if record.fingerprint and record.name in plan.instances:
                found[keys.result(run.pipeline, plan.instances[record.name].stage, record.fingerprint)] = record.name
    named = list(found)
    for start in range(0, len(named), 50):
        gone: list[Put | Delete] = []
        unchanged: list[Condition] = []
        for kv in await store.get_many(named[start : start + 50]):
            if kv is not None and decode(kv.value, Result).run == run.id:
                unchanged.append(Condition(kv.key, modified=kv.modified))
                gone.append(Delete(kv.key))
        if gone and await store.commit([*conditions, *unchanged], gone) is None:
            raise StoreError("its results have changed meanwhile, or another daemon leads")


async def clear(store: Store, pipeline: str, stage: str = "") -> tuple[int, list[Put | Delete]]:
    """How many results a pipeline, or one of its stages, has, and the changes that make them forgotten."""
    prefix = keys.results(pipeline, stage)
    page = await store.page(prefix, keys.after(prefix), count_only=True)
    return page.count, [Delete(prefix, prefix=True)]


def artifacts_of(instance: Instance, outputs: Mapping[str, ArtifactRecord]) -> dict[str, ArtifactRecord] | None:
    """A result's outputs by artifact; None if it lacks one that the stage writes."""
    if any(own not in outputs for own in instance.outputs):
        return None
    return {artifact: outputs[own] for own, artifact in instance.outputs.items()}
