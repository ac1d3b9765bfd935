"""Which logical times a backfill has, and how it goes from one to the next: whatever happens, each once."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.errors import InvalidRequest
from backend.schedule.backfill import (
    MOST,
    Backfill,
    Order,
    Steps,
    closed,
    has_room,
    left,
    made,
    moments,
    pick,
    settled,
    steps_of,
)
from backend.schedule.model import Schedule
from backend.schedule.moments import between

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
ENDS = ["succeeded", "failed", "cancelled"]


def shown(steps: Steps, start: datetime, end: datetime) -> list[str]:
    return [f"{m.astimezone(ZoneInfo(steps.zone)):%d %H:%M %z}" for m in moments(steps, start, end)]


def test_days_are_those_of_the_zone_also_where_clocks_change() -> None:
    start = datetime(2026, 3, 28, 2, 30, tzinfo=BERLIN)
    assert shown(Steps(every=86400, zone="Europe/Berlin"), start, start + timedelta(days=3)) == [
        "28 02:30 +0100",
        "29 03:30 +0200",  # there is no 02:30: as much later
        "30 02:30 +0200",
        "31 02:30 +0200",
    ]


def test_a_day_that_a_country_left_out_is_not_there_twice() -> None:
    start = datetime(2011, 12, 29, tzinfo=ZoneInfo("Pacific/Apia"))
    end = datetime(2012, 1, 1, tzinfo=ZoneInfo("Pacific/Apia"))
    found = shown(Steps(every=86400, zone="Pacific/Apia"), start, end)
    assert [each[:2] for each in found] == ["29", "31", "01"]


def test_hours_are_absolute() -> None:
    start = datetime(2026, 3, 29, tzinfo=BERLIN)
    found = shown(Steps(every=7200, zone="Europe/Berlin"), start, start + timedelta(hours=5))
    assert found == ["29 00:00 +0100", "29 03:00 +0200", "29 05:00 +0200"]


def test_a_schedules_firings_are_those_that_it_would_have_had() -> None:
    schedule = Schedule("s", "p", "cron", ("0 6 * * *",), "Europe/Berlin", skip=("2026-03-03",), start=NOON)
    assert shown(steps_of(schedule), NOON - timedelta(days=2), NOON + timedelta(days=2)) == [
        "01 06:00 +0100",
        "02 06:00 +0100",
        "04 06:00 +0100",
    ]
    every = Schedule("s", "p", "every", every=5400, created=NOON, skip=("03-01",))
    assert shown(steps_of(every), NOON - timedelta(hours=14), NOON + timedelta(hours=2)) == [
        *("02 00:00 +0000", "02 01:30 +0000", "02 03:00 +0000", "02 04:30 +0000", "02 06:00 +0000"),
        *("02 07:30 +0000", "02 09:00 +0000", "02 10:30 +0000", "02 12:00 +0000", "02 13:30 +0000"),
    ]


@pytest.mark.parametrize("kind", ["once", "after"])
def test_what_does_not_fire_again_and_again_is_no_step(kind: str) -> None:
    with pytest.raises(InvalidRequest, match="again and again"):
        steps_of(Schedule("s", "p", kind, at=NOON, after=("q",)))  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [Steps(), Steps(cron=("nonsense",)), Steps(every=60, zone="Nowhere"), Steps(every=1)])
def test_what_makes_no_sense_is_refused(steps: Steps) -> None:
    with pytest.raises(InvalidRequest):
        moments(steps, NOON, NOON + timedelta(days=1))


def test_as_many_as_there_may_be_and_no_more() -> None:
    assert len(moments(Steps(every=60), NOON, NOON + timedelta(minutes=MOST - 1))) == MOST
    with pytest.raises(InvalidRequest, match="too many"):
        moments(Steps(every=60), NOON, NOON + timedelta(minutes=MOST))


STEPS = st.one_of(
    st.builds(
        Steps,
        every=st.sampled_from([1800, 3600, 5400, 86400, 3 * 86400, 7 * 86400]),
        anchor=st.one_of(st.none(), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))),
        zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"]),
        skip=st.sampled_from([(), ("03-29",), ("2026-10-24..2026-10-26",)]),
    ),
    st.builds(
        Steps,
        cron=st.sampled_from([("0 6 * * *",), ("30 2 * * *", "0 */6 * * MON"), ("15 */2 * * *",)]),
        zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago"]),
    ),
)
STARTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))


@given(STEPS, STARTS, st.integers(0, 40))
def test_times_lie_in_their_range_and_follow_each_other(steps: Steps, start: datetime, days: int) -> None:
    end = start + timedelta(days=days)
    found = moments(steps, start, end)
    assert all(start <= moment <= end for moment in found)
    assert all(one < other for one, other in pairwise(found))
    assert found == moments(steps, start, end)
    if steps.cron:
        schedule = Schedule("s", "p", "cron", steps.cron, steps.zone)
        assert found == between(schedule, start - timedelta(microseconds=1), end)


@given(
    st.sampled_from(["oldest", "newest"]),
    st.integers(0, 12),
    st.integers(1, 4),
    st.sets(st.integers(0, 11)),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_every_time_is_dealt_with_once_in_order_whatever_happens(
    order: Order, count: int, parallel: int, good: set[int], looked: int, dice: random.Random
) -> None:
    """Runs end at random, in whatever order; it is paused and resumed; so many times are looked at together."""
    times = [NOON + timedelta(days=number) for number in range(count)]
    fine = {times[number] for number in good if number < count}
    backfill = Backfill("b", "p", NOON, NOON, Steps(every=86400), "1d", parallel=parallel, order=order, total=count)
    runs: list[datetime] = []
    for turn in range(200):
        ahead = left(backfill, times)
        if has_room(backfill) and ahead and dice.random() < 0.8:
            backfill, moment = pick(backfill, ahead[:looked], fine)
            if moment is not None:
                backfill = made(backfill, moment, str(len(runs)))
                runs.append(moment)
        elif dice.random() < 0.5:
            backfill = settled(backfill, {run: dice.choice(ENDS) for run in backfill.active if dice.random() < 0.5})
        elif backfill.ended is None:
            backfill = replace(backfill, state=dice.choice(["paused", "running", "running"]))
        assert len(backfill.active) <= parallel
        assert backfill.dealt == count - len(left(backfill, times))
        backfill = closed(backfill, bool(left(backfill, times)), NOON + timedelta(seconds=turn))
    wanted = [t for t in times if t not in fine]
    assert runs == (wanted if order == "oldest" else wanted[::-1])
    assert backfill.ended is not None
    assert backfill.skipped == len(fine)
    assert backfill.succeeded + backfill.failed + backfill.cancelled == len(runs)
    assert backfill.state == ("succeeded" if backfill.succeeded == len(runs) else "failed")


def test_one_that_is_cancelled_ends_with_its_last_run() -> None:
    backfill = Backfill("b", "p", NOON, NOON, Steps(every=60), "1m", state="cancelling", active=("r",), total=5)
    assert not has_room(backfill)
    assert closed(backfill, True, NOON) == backfill
    ended = closed(settled(backfill, {"r": "cancelled", "other": "failed"}), True, NOON)
    assert (ended.state, ended.cancelled, ended.failed, ended.ended) == ("cancelled", 1, 0, NOON)
    assert closed(ended, False, NOON + timedelta(days=1)) == ended


def test_a_backfill_is_small_however_long_it_is() -> None:
    from backend.store.codec import encode

    active = tuple(f"06f2k9x4qe-{number:06d}" for number in range(50))
    backfill = Backfill("b", "p", NOON, NOON, Steps(every=60), "1m", total=MOST, skipped=MOST, active=active)
    assert len(encode(backfill)) < 2048
