"""Calendars: days that have a name, on which the schedules that use them stand still."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import replace
from starlette.responses import Response

from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.refusals import in_use
from backend.api.wire import CalendarView, Page, PutCalendar
from backend.errors import InvalidRequest, NotFound
from backend.schedule.dates import Calendar, check_dates
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.base import Condition, Delete, KeyValue, Put
from backend.store.calendars import spread, users
from backend.store.codec import decode, encode


@operation("GET", "/calendars", answer=Page, items=CalendarView, query=PAGING, on="any")
async def list_calendars(call: Call) -> Response:
    """Calendars by name"""
    used: dict[str, list[str]] = defaultdict(list)
    async for page in call.services.store.scan(keys.SCHEDULES):
        for schedule in (decode(kv.value, Schedule) for kv in page.items):
            for name in schedule.calendars if call.sees(schedule.pipeline) else ():
                used[name].append(schedule.name)
    found: list[CalendarView] = []
    revision = 0
    async for page in call.services.store.scan(keys.CALENDARS):
        revision = page.revision
        for kv in page.items:
            calendar = decode(kv.value, Calendar)
            found.append(_view(calendar, used[calendar.name], kv.modified))
    return answer(cursor.part(call, found, revision))


@operation("GET", "/calendars/{name}", answer=CalendarView, on="any")
async def get_calendar(call: Call) -> Response:
    """One calendar, with the schedules that use it"""
    kv = await _find(call)
    return answer(_view(decode(kv.value, Calendar), await _used(call), kv.modified))


@operation("PUT", "/calendars/{name}", body=PutCalendar, answer=CalendarView, role="editor")
async def put_calendar(call: Call) -> Response:
    """Make or change a calendar; the schedules that use it follow at once"""
    name, body, services = call.name(), await call.body(PutCalendar), call.services
    if not body.days:
        raise InvalidRequest(f"the calendar {name} needs a day at least", hint="2026-12-25, FROM..TO, or 12-25")
    days = tuple(dict.fromkeys(body.days))
    check_dates(days)
    now = services.clock.now()

    async def attempt() -> CalendarView | None:
        found = await services.store.get(keys.calendar(name))
        old = decode(found.value, Calendar) if found else Calendar(name, (), created=now, created_by=call.who.name)
        description = old.description if body.description is UNSET else body.description
        calendar = replace(old, days=days, description=description, updated=now, updated_by=call.who.name)
        view = _view(calendar, await _used(call), 0)
        condition = Condition(keys.calendar(name), modified=found.modified if found else 0)
        revision = await call.commit([condition], [Put(keys.calendar(name), encode(calendar))], name, answer=view)
        return replace(view, revision=revision) if revision is not None else None

    view = await call.tried(f"calendar {name}", attempt)
    await spread(services.store, name, now)
    return answer(view)


@operation("DELETE", "/calendars/{name}", status=204, role="editor")
async def delete_calendar(call: Call) -> Response:
    """Delete a calendar that no schedule uses"""
    kv, name = await _find(call), call.name()
    used = [schedule.name async for schedule, _ in users(call.services.store, name)]
    if used:
        raise in_use(f"the calendar {name}", used, hint="take it from these schedules first (--calendar '')")
    if await call.commit([Condition(kv.key, modified=kv.modified)], [Delete(kv.key)], name) is None:
        raise call.conflict(f"calendar {name}")
    return Response(status_code=204)


async def copied(call: Call, names: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], list[Condition]]:
    """The days of calendars, for a schedule that uses them, and what must still hold when it is written.

    Raises NotFound.
    """
    names = tuple(dict.fromkeys(names))
    found = await call.services.store.get_many([keys.calendar(name) for name in names]) if names else []
    days: dict[str, tuple[str, ...]] = {}
    held: list[Condition] = []
    for name, kv in zip(names, found, strict=True):
        if kv is None:
            raise NotFound(f"there is no calendar {name!r}", hint="khantui calendars lists them")
        days[name] = decode(kv.value, Calendar).days
        held.append(Condition(kv.key, modified=kv.modified))
    return days, held


async def _find(call: Call) -> KeyValue:
    name = call.name()
    found = await call.services.store.get(keys.calendar(name))
    if found is None:
        raise NotFound(f"there is no calendar {name!r}", hint="khantui calendars lists them")
    return found


async def _used(call: Call) -> list[str]:
    return [s.name async for s, _ in users(call.services.store, call.name()) if call.sees(s.pipeline)]


def _view(calendar: Calendar, schedules: Sequence[str], revision: int) -> CalendarView:
    return CalendarView(
        name=calendar.name,
        days=calendar.days,
        description=calendar.description,
        schedules=tuple(schedules),
        created=calendar.created,
        created_by=calendar.created_by,
        updated=calendar.updated,
        updated_by=calendar.updated_by,
        revision=revision,
    )
