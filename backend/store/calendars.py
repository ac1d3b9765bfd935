"""Calendars and the schedules that use them, kept in step: each schedule has a copy of the days of its calendars."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from backend.errors import StoreError
from backend.schedule.dates import Calendar, renewed
from backend.schedule.model import Schedule
from backend.schedule.ticks import due
from backend.store import keys
from backend.store.base import Condition, KeyValue, Put, Store
from backend.store.codec import decode, encode

_TOGETHER = 50  # schedules that are written in one transaction
_TRIES = 50  # however often one of them changes meanwhile


async def users(store: Store, name: str) -> AsyncIterator[tuple[Schedule, KeyValue]]:
    """The schedules that use a calendar."""
    async for page in store.scan(keys.SCHEDULES):
        for item in page.items:
            schedule = decode(item.value, Schedule)
            if name in schedule.calendars:
                yield schedule, item


async def spread(store: Store, name: str, now: datetime, fence: Callable[[], list[Condition]] = list) -> None:
    """Have the schedules that use a calendar know its days. Raises StoreError where they keep changing."""
    for _ in range(_TRIES):
        found = await store.get(keys.calendar(name))
        if found is None:
            return
        calendar = decode(found.value, Calendar)
        stale = [(s, kv) async for s, kv in users(store, name) if s.calendars[name] != calendar.days]
        if not stale:
            return
        for start in range(0, len(stale), _TOGETHER):
            some = stale[start : start + _TOGETHER]
            held = [Condition(kv.key, modified=kv.modified) for _, kv in some]
            puts = [Put(kv.key, encode(renewed(s, calendar, bool(due(s, now).ticks), now))) for s, kv in some]
            await store.commit([*fence(), Condition(found.key, modified=found.modified), *held], list(puts))
    raise StoreError(f"schedules that use the calendar {name} keep changing: they will follow")
