"""Which logical times of a pipeline are good already: a run for them, with such parameters, has succeeded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from backend.run.state import Run, RunState
from backend.store import keys
from backend.store.base import Condition, KeyValue, Put, Store
from backend.store.codec import decode, encode

_TOGETHER = 50  # runs that are noted in one transaction


async def good_runs(
    store: Store, pipeline: str, times: Sequence[datetime], parameters: Mapping[str, str]
) -> dict[datetime, str]:
    """Those of `times` (UTC, in any order) that are good: the newest run of each.

    A run from before the pipeline had a parameter counts, whatever its value is now.
    """
    found: dict[datetime, str] = {}
    if not times:
        return found
    wanted = set(times)
    start, end = keys.good(pipeline, min(times)), keys.after(keys.good(pipeline, max(times)))
    while True:
        page = await store.page(start, end, limit=1000)
        for item in page.items:
            moment, run = keys.good_of(item.key)
            had = decode(item.value, dict[str, str])
            if moment in wanted and all(had.get(name, value) == value for name, value in parameters.items()):
                found[moment] = run
        if not page.more:
            return found
        start = page.items[-1].key + "\0"


async def note_good(store: Store, fence: Callable[[], list[Condition]]) -> None:
    """Once in the life of a store: note the runs that had succeeded before such were noted."""
    if await store.get(keys.GOOD_NOTED) is not None:
        return
    async for page in store.scan(keys.RUNS):
        good = [kv for kv in page.items if decode(kv.value, Run).state is RunState.SUCCEEDED]
        for start in range(0, len(good), _TOGETHER):
            some = good[start : start + _TOGETHER]
            if not await _note(store, some, fence):
                for each in some:  # one that has changed meanwhile was noted with that
                    await _note(store, [each], fence)
    await store.commit(fence(), [Put(keys.GOOD_NOTED, b"")])


async def _note(store: Store, items: Sequence[KeyValue], fence: Callable[[], list[Condition]]) -> bool:
    runs = [decode(kv.value, Run) for kv in items]
    held = [Condition(kv.key, modified=kv.modified) for kv in items]
    puts = [Put(keys.good(run.pipeline, run.logical_time, run.id), encode(run.parameters)) for run in runs]
    return await store.commit([*fence(), *held], list(puts)) is not None
