"""Which ticks are due, and what becomes of those that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from backend.schedule.model import CatchUp, Schedule
from backend.schedule.ticks import GRACE, MOST, due

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def hourly(**more: Any) -> Schedule:
    return Schedule("s", "p", "cron", ("0 * * * *",), created=NOON, last_tick=NOON, **more)


def once(**more: Any) -> Schedule:
    return Schedule("s", "p", "once", at=NOON + timedelta(hours=1), created=NOON, last_tick=NOON, **more)


def hours(*numbers: int) -> tuple[datetime, ...]:
    return tuple(NOON + timedelta(hours=n) for n in numbers)


def test_nothing_is_due_before_its_time() -> None:
    found = due(hourly(), NOON + timedelta(minutes=59))
    assert (found.ticks, found.next) == ((), hours(1)[0])


def test_a_tick_is_due_at_its_time_and_then_never_again() -> None:
    found = due(hourly(), hours(1)[0])
    assert (found.ticks, found.last_tick, found.next) == (hours(1), hours(1)[0], hours(2)[0])
    assert due(replace(hourly(), last_tick=found.last_tick), hours(1)[0]).ticks == ()


@pytest.mark.parametrize(
    ("catch_up", "ticks"), [("none", ()), ("latest", hours(3)), ("all", hours(1, 2, 3))]
)  # fmt: skip
def test_what_becomes_of_ticks_that_were_missed(catch_up: CatchUp, ticks: tuple[datetime, ...]) -> None:
    found = due(hourly(catch_up=catch_up), hours(3)[0] + timedelta(minutes=30))
    assert (found.ticks, found.last_tick, found.next) == (ticks, hours(3)[0], hours(4)[0])
    assert ("makes up for nothing" in found.message) is (catch_up == "none")


def test_a_little_late_is_on_time() -> None:
    assert due(hourly(catch_up="none"), hours(1)[0] + GRACE / 2).ticks == hours(1)


def test_there_is_an_end_to_making_up() -> None:
    minutely = replace(hourly(catch_up="all"), cron=("* * * * *",))
    found = due(minutely, NOON + timedelta(days=365))
    assert len(found.ticks) == MOST
    assert found.ticks[-1] == NOON + timedelta(days=365)
    assert "were left out" in found.message


def test_a_clock_that_is_set_back_fires_nothing_twice() -> None:
    later = replace(hourly(), last_tick=hours(5)[0])
    found = due(later, hours(2)[0])
    assert (found.ticks, found.next) == ((), hours(6)[0])


@pytest.mark.parametrize("schedule", [hourly(paused=True), once(paused=True), once(done=True)])
def test_what_is_paused_or_done_is_never_due(schedule: Schedule) -> None:
    found = due(schedule, hours(9)[0])
    assert (found.ticks, found.next) == ((), None)


def test_once() -> None:
    assert due(once(), NOON).next == hours(1)[0]
    found = due(once(), hours(1)[0])
    assert (found.ticks, found.done, found.next) == (hours(1), True, None)


def test_once_and_missed() -> None:
    assert due(once(), hours(5)[0]).ticks == hours(1)
    found = due(once(catch_up="none"), hours(5)[0])
    assert (found.ticks, found.done) == ((), True)
    assert "missed" in found.message


def test_once_that_passed_in_a_pause() -> None:
    found = due(replace(once(), last_tick=hours(2)[0]), hours(3)[0])
    assert (found.ticks, found.done) == ((), True)


def test_several_expressions_fire_once_where_they_meet() -> None:
    both = replace(hourly(catch_up="all"), cron=("0 * * * *", "0 13,14 * * *", "30 12 * * *"))
    assert due(both, hours(2)[0]).ticks == (NOON + timedelta(minutes=30), *hours(1, 2))


def test_years_of_minutes_are_looked_through_quickly() -> None:
    old = replace(hourly(catch_up="latest"), cron=("* * * * *",), last_tick=NOON - timedelta(days=3650))
    assert due(old, NOON).ticks == (NOON,)


def test_a_clock_that_is_set_back_a_little_makes_no_tick_due_again() -> None:
    schedule = hourly()
    found = due(replace(schedule, last_tick=hours(6)[0]), NOON + timedelta(minutes=30))
    assert (found.ticks, found.last_tick, found.next) == ((), hours(6)[0], hours(7)[0])


def test_a_clock_that_was_years_ahead_does_not_silence_a_schedule_for_years() -> None:
    wrong, now = datetime(2099, 1, 1, tzinfo=UTC), NOON + timedelta(minutes=30)
    found = due(replace(hourly(), last_tick=wrong), now)
    assert (found.ticks, found.last_tick, found.next) == ((), now, hours(1)[0])
    assert found.message == f"the clock was set back: its last tick was {wrong.isoformat()}; it goes on from now"
    assert due(replace(hourly(), last_tick=found.last_tick), hours(1)[0]).ticks == hours(1)
