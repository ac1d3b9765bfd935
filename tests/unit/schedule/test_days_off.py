"""Days that have a name: what goes by the clock, forecasts, backfills and followers stand still on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from msgspec.structs import replace

from backend.errors import InvalidRequest
from backend.schedule.backfill import moments, steps_of
from backend.schedule.dates import MOST, Calendar, check_dates, left_out, renewed
from backend.schedule.follow import Ended, follow
from backend.schedule.forecast import forecast
from backend.schedule.model import Schedule
from backend.schedule.moments import upcoming
from backend.schedule.ticks import due, judge

EVE = datetime(2026, 12, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOLIDAYS = Calendar("holidays", ("12-25", "2026-12-26..2026-12-27"))


def daily(**more: Any) -> Schedule:
    copy = {HOLIDAYS.name: HOLIDAYS.days}
    made: dict[str, Any] = {"created": EVE, "last_tick": EVE, "calendars": copy} | more
    return Schedule("s", "p", "cron", ("0 6 * * *",), **made)


def test_it_does_not_fire_on_the_days_of_a_calendar() -> None:
    assert [m.day for m in islice(upcoming(daily(skip=("2026-12-29",)), EVE), 3)] == [28, 30, 31]
    assert due(daily(), EVE + DAY).ticks == ()


def test_the_day_is_that_of_the_schedules_zone() -> None:
    tokyo = daily(zone="Asia/Tokyo")  # 06:00 of the 25th is 21:00 of the 24th in UTC
    assert next(upcoming(tokyo, EVE)) == datetime(2026, 12, 27, 21, tzinfo=UTC)


def test_a_tick_on_such_a_day_makes_no_run_and_the_calendar_is_named() -> None:
    tick = datetime(2026, 12, 25, 6, tzinfo=UTC)
    verdict = judge(daily(), tick, tick)
    assert (verdict.make, verdict.message) == (False, "2026-12-25 is a day of the calendar holidays")
    assert left_out(daily(skip=("12-25",)), tick) == "2026-12-25 is one of the days that it skips"
    assert left_out(daily(), tick + 3 * DAY) == ""


def test_a_forecast_and_a_backfill_leave_them_out() -> None:
    assert forecast([daily()], {}, EVE, EVE + 3 * DAY, timedelta(hours=1), EVE).starts == 0
    times = moments(steps_of(daily()), EVE, EVE + 5 * DAY)
    assert [m.day for m in times] == [28, 29]


def test_what_follows_others_looks_at_the_day_of_the_logical_time() -> None:
    after = Schedule("s", "p", "after", after=("q",), created=EVE, calendars={HOLIDAYS.name: HOLIDAYS.days})
    on = Ended("q", "succeeded", datetime(2026, 12, 25, 6, tzinfo=UTC), {})
    assert follow(after, on, EVE + 5 * DAY) is None
    assert follow(after, replace(on, logical_time=EVE), EVE + 5 * DAY) is not None


def test_a_day_that_is_taken_from_a_calendar_is_not_made_up_for() -> None:
    now = datetime(2026, 12, 25, 10, tzinfo=UTC)
    after = renewed(daily(), Calendar("holidays", ("12-26",)), False, now)
    assert due(after, now).ticks == ()
    assert next(upcoming(after, now)).day == 27


def test_a_tick_that_is_due_at_this_moment_is_not_passed_over() -> None:
    now = datetime(2026, 12, 28, 6, tzinfo=UTC)
    before = daily(last_tick=EVE + DAY)
    after = renewed(before, Calendar("holidays", ("12-26",)), bool(due(before, now).ticks), now)
    assert due(after, now).ticks == (now,)


def test_the_same_days_change_nothing() -> None:
    assert renewed(daily(), HOLIDAYS, False, EVE) == daily()


def test_a_calendar_has_so_many_entries_at_most() -> None:
    check_dates(("12-25",) * MOST)
    with pytest.raises(InvalidRequest, match="1001 days"):
        check_dates(("12-25",) * (MOST + 1))
