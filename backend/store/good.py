"""Which logical times of a pipeline are good already: a run for them, with such parameters, has succeeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from backend.store import keys
from backend.store.base import Store
from backend.store.codec import decode


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
