"""What all schedules together will do, foretold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.schedule.forecast import MOST, Forecast, Load, Start, Usual, by_clock, following, forecast
from backend.schedule.model import Schedule
from backend.schedule.moments import since_last, until

MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
DAY = MIDNIGHT + timedelta(days=1)
BEFORE = MIDNIGHT - timedelta(minutes=1)
MINUTE = timedelta(minutes=1)


def schedule(name: str, **given: Any) -> Schedule:
    kind = "after" if "after" in given else "every" if "every" in given else "once" if "at" in given else "cron"
    return Schedule(**({"name": name, "pipeline": name, "kind": kind, "created": MIDNIGHT} | given))


def clocked(one: Schedule, seconds: float | None = 60, width: int = 1) -> list[Start]:
    return by_clock(one, Usual(seconds, width), MIDNIGHT, DAY, BEFORE, {})[0]


def summed(starts: list[Start], begin: datetime, end: datetime, slot: timedelta) -> Forecast:
    load = Load(begin, end)
    for start in starts:
        load.add((start.at,), start.ends - start.at, start.stages, (start.schedule,))
    load.starts = len(starts)
    return load.summed(slot)


def hours(starts: list[Start]) -> list[str]:
    return [f"{s.schedule} {s.at:%H:%M}" for s in sorted(starts, key=lambda s: s.at)]


def test_times_are_exact_and_the_end_is_not_among_them() -> None:
    assert hours(clocked(schedule("a", cron=("0 */8 * * *",)))) == ["a 00:00", "a 08:00", "a 16:00"]
    assert hours(clocked(schedule("b", every=6 * 3600))) == ["b 00:00", "b 06:00", "b 12:00", "b 18:00"]
    assert hours(clocked(schedule("c", at=MIDNIGHT + 90 * MINUTE))) == ["c 01:30"]
    assert hours(clocked(schedule("d", cron=("0 6 * * *",), zone="Asia/Tokyo"))) == ["d 21:00"]


@pytest.mark.parametrize(
    "given",
    [
        {"paused": True},
        {"done": True},
        {"skip": ("2026-11-25",)},
        {"end": MIDNIGHT},
        {"start": DAY},
        {"paused": True, "paused_until": DAY},
        {"last_tick": DAY},
    ],
)
def test_what_does_not_fire_starts_nothing(given: dict[str, Any]) -> None:
    assert clocked(schedule("a", cron=("30 6 * * *",), **given)) == []


def test_a_pause_that_ends_is_over_then() -> None:
    one = schedule("a", cron=("0 */8 * * *",), paused=True, paused_until=MIDNIGHT + timedelta(hours=9))
    assert hours(clocked(one)) == ["a 16:00"]


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [("", 24), ("skip", 12), ("queue", 16), ("replace", 24)],
)
def test_overlaps_are_what_the_schedule_says(overlap: Any, expected: int) -> None:
    starts = clocked(schedule("a", cron=("0 * * * *",), overlap=overlap), 5400)
    assert len(starts) == expected
    if overlap == "replace":
        assert all(s.ends - s.at == timedelta(hours=1) for s in starts[:-1])


def test_a_jitter_is_in_it() -> None:
    (start,) = clocked(schedule("a", cron=("0 6 * * *",), jitter=1800))
    assert timedelta() < start.at - start.logical < timedelta(minutes=30)


def test_of_what_fires_all_the_time_a_part_is_counted() -> None:
    starts, more = by_clock(schedule("a", every=10), Usual(1), MIDNIGHT, DAY, BEFORE, {})
    assert (len(starts), more) == (MOST, True)


USUAL = {"a": Usual(3600), "b": Usual(1800), "c": Usual(60, 3)}


def follow(*schedules: Schedule) -> list[str]:
    starts = [s for one in schedules for s in by_clock(one, USUAL[one.pipeline], MIDNIGHT, DAY, BEFORE, {})[0]]
    found = following(schedules, starts, USUAL, DAY, BEFORE)
    assert all(s.estimated for s in found)
    return hours(found)


def test_what_follows_starts_when_its_cause_has_ended_in_chains() -> None:
    assert follow(
        schedule("c", after=("b/table",)), schedule("b", after=("a",)), schedule("a", cron=("0 6,23 * * *",))
    ) == ["b 07:00", "c 07:30"]


def test_any_of_several_and_all_of_them() -> None:
    a, b = schedule("a", cron=("0 6 * * *",)), schedule("b", cron=("0 1,8 * * *",))
    assert follow(a, b, schedule("c", after=("a", "b"))) == ["c 01:30", "c 07:00", "c 08:30"]
    assert follow(a, b, schedule("c", after=("a", "b"), join="all")) == ["c 07:00"]
    assert follow(a, b, schedule("c", after=("a", "b"), join="all", match="time")) == []
    assert follow(a, b, schedule("c", after=("a", "b"), join="all", match="latest")) == ["c 07:00"]


def test_what_waits_for_failures_or_in_a_circle_starts_nothing() -> None:
    a = schedule("a", cron=("0 6 * * *",))
    assert follow(a, schedule("b", after=("a",), condition="failed")) == []
    assert follow(a, schedule("b", after=("c",)), schedule("c", after=("b",))) == []
    assert follow(a, schedule("b", after=("a",), skip=("11-25",))) == []
    assert follow(a, schedule("b", after=("a",), paused=True)) == []


def test_forty_at_six_are_seen_and_there_is_room_beside() -> None:
    starts = [s for n in range(40) for s in clocked(schedule(f"s{n}", cron=("0 6 * * *",)), 600, 2)]
    starts += clocked(schedule("busy", cron=("1-20 6 * * *",)), 60)
    found = summed(starts, MIDNIGHT, DAY, 15 * MINUTE)
    assert len(found.slots) == 96
    six = found.slots[24]
    assert (six.begin, six.starts, six.runs, six.stages) == (MIDNIGHT.replace(hour=6), 54, 42, 82)
    assert (six.schedules["s0"], six.schedules["busy"]) == (1, 14)
    (crowd,) = found.busiest
    assert (crowd.at, crowd.starts, len(crowd.schedules)) == (MIDNIGHT.replace(hour=6), 40, 40)
    assert len(crowd.room) == 12
    assert all(m.hour == 5 for m in crowd.room), "before six nothing runs"
    assert sum(slot.starts for slot in found.slots) == found.starts == 60


def test_a_run_counts_from_its_start_to_its_end() -> None:
    found = summed(clocked(schedule("a", cron=("50 5 * * *",)), 1200), MIDNIGHT, DAY, 15 * MINUTE)
    assert [(f"{s.begin:%H:%M}", s.starts, s.runs) for s in found.slots if s.runs] == [
        ("05:45", 1, 1),
        ("06:00", 0, 1),
    ]


def test_the_whole_says_what_is_estimated_and_what_was_cut() -> None:
    schedules = [
        schedule("a", cron=("0 6 * * *",)),
        schedule("b", after=("a",)),
        schedule("often", every=10),
        schedule("never", cron=("0 6 * * *",), paused=True),
    ]
    found = forecast(schedules, USUAL, MIDNIGHT, DAY, 60 * MINUTE, BEFORE)
    assert (found.starts, found.estimated) == (MOST + 2, 1)
    assert found.started == {"a": "a", "b": "b", "often": "often"}
    assert found.cut == ("often",)


def test_nothing_at_all() -> None:
    found = summed([], MIDNIGHT, DAY, 60 * MINUTE)
    assert (len(found.slots), found.busiest, found.starts) == (24, (), 0)


STARTS = st.builds(
    lambda n, at, took, width: Start(
        f"s{n}", "p", MIDNIGHT + at * MINUTE, MIDNIGHT + at * MINUTE + timedelta(seconds=took), MIDNIGHT, width
    ),
    st.integers(0, 5),
    st.integers(0, 1439),
    st.floats(0, 1e6),
    st.integers(1, 9),
)


@settings(max_examples=100)
@given(st.lists(STARTS, max_size=40), st.sampled_from([1, 15, 60]))
def test_sums_hold_whatever_starts(starts: list[Start], minutes: int) -> None:
    found = summed(starts, MIDNIGHT, DAY, minutes * MINUTE)
    assert sum(slot.starts for slot in found.slots) == len(starts)
    for slot in found.slots:
        assert 0 <= slot.runs <= slot.stages
        assert (slot.runs > 0) or not slot.starts
    for crowd in found.busiest:
        assert crowd.starts >= 3
        assert all(abs(minute - crowd.at) <= 30 * MINUTE and minute != crowd.at for minute in crowd.room)


def test_schedules_that_are_alike_are_counted_each() -> None:
    """Those that share their times are summed up at once: the same comes of it as of each by itself."""
    many = [schedule(f"a{n}", cron=("*/20 * * * *",), zone=("UTC", "Asia/Kathmandu")[n % 2]) for n in range(10)]
    usual = {one.pipeline: Usual(600.0 + 600 * (n % 3), 1 + n % 2) for n, one in enumerate(many)}
    together = forecast(many, usual, MIDNIGHT, DAY, 15 * MINUTE, BEFORE)
    each = [s for one in many for s in by_clock(one, usual[one.pipeline], MIDNIGHT, DAY, BEFORE, {})[0]]
    apart = summed(each, MIDNIGHT, DAY, 15 * MINUTE)
    assert together.starts == apart.starts == 720
    for one, other in zip(together.slots, apart.slots, strict=True):
        assert (one.runs, one.stages, one.starts, one.schedules) == (
            other.runs, other.stages, other.starts, other.schedules
        )  # fmt: skip
    assert together.started == {one.name: one.pipeline for one in many}


ZONES = ("UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia")


@settings(max_examples=300)
@given(
    expressions=st.lists(
        st.sampled_from(
            ["30 2 * * *", "*/15 * * * *", "0 0 * * MON", "0 0 31 * *", "0 5 1 */2 *", "0 1,2,3 29 2 *", "* 0 * * FRI",
             "0 12 * * * 0,30"]
        ),
        min_size=1, max_size=2, unique=True,
    ),
    zone=st.sampled_from(ZONES),
    after=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),
    last=st.none() | st.timedeltas(timedelta(), timedelta(days=40)),
    days=st.integers(1, 8),
    limits=st.booleans(),
)  # fmt: skip
def test_many_ticks_at_once_are_those_that_come_one_by_one(
    expressions: list[str], zone: str, after: datetime, last: timedelta | None, days: int, limits: bool
) -> None:
    after = after.replace(tzinfo=UTC)
    more: dict[str, Any] = {"start": after + timedelta(hours=5), "end": after + timedelta(hours=60)} if limits else {}
    last_tick = after - last if last is not None else None
    one = schedule("a", cron=tuple(expressions), zone=zone, last_tick=last_tick, skip=("2026-12-25",), **more)
    end = after + timedelta(days=days)
    slowly = [moment for moment in islice(since_last(one, after), 2000) if moment < end]
    assert until(one, after, end, 2000) == slowly
