"""Every policy with every kind: a row for each, of what a schedule does in four hours of a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.errors import InvalidRequest
from backend.schedule.check import check
from backend.schedule.deadline import deadline_of
from backend.schedule.follow import Ended, follow
from backend.schedule.model import Schedule
from backend.schedule.moments import between, delay, next_moment, upcoming
from backend.schedule.ticks import GRACE, due, judge, settled, ticked

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
KINDS: dict[str, dict[str, Any]] = {
    "cron": {"kind": "cron", "cron": ("0 * * * *",)},
    "every": {"kind": "every", "every": 3600},
    "once": {"kind": "once", "at": MIDNIGHT + timedelta(hours=2)},
    "after": {"kind": "after", "after": ("p",)},
}


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


POLICIES: dict[str, dict[str, Any]] = {
    "none": {},
    "start": {"start": at(2)},
    "end": {"end": at(2)},
    "skip the day": {"skip": ("2026-03-02",)},
    "skip another": {"skip": ("2026-03-03..2026-03-09", "12-25")},
    "pause": {"paused": True, "paused_reason": "moves"},
    "pause until 01:30": {"paused": True, "paused_until": at(1.5)},
    "jitter": {"jitter": 600},
    "deadline": {"deadline": "2h"},
    "overlap": {"overlap": "queue"},
}
# hours of the runs' logical times, where somebody looks every minute from 00:00 to 04:30
RUNS = {
    ("cron", "none"): "1 2 3 4",
    ("cron", "start"): "2 3 4",
    ("cron", "end"): "1 2",
    ("cron", "skip the day"): "",
    ("cron", "skip another"): "1 2 3 4",
    ("cron", "pause"): "",
    ("cron", "pause until 01:30"): "2 3 4",
    ("cron", "jitter"): "1 2 3 4",
    ("cron", "deadline"): "1 2 3 4",
    ("cron", "overlap"): "1 2 3 4",
    ("every", "none"): "1 2 3 4",
    ("every", "start"): "2 3 4",
    ("every", "end"): "1 2",
    ("every", "skip the day"): "",
    ("every", "skip another"): "1 2 3 4",
    ("every", "pause"): "",
    ("every", "pause until 01:30"): "2 3 4",
    ("every", "jitter"): "1 2 3 4",
    ("every", "deadline"): "1 2 3 4",
    ("every", "overlap"): "1 2 3 4",
    ("once", "none"): "2",
    ("once", "start"): "2",
    ("once", "end"): "2",
    ("once", "skip the day"): "",
    ("once", "skip another"): "2",
    ("once", "pause"): "",
    ("once", "pause until 01:30"): "2",
    ("once", "jitter"): "2",
    ("once", "deadline"): "2",
    ("once", "overlap"): "2",
    ("after", "none"): "1 2 3 4",  # a run of p ends at each hour
    ("after", "start"): "2 3 4",
    ("after", "end"): "1 2",
    ("after", "skip the day"): "",
    ("after", "skip another"): "1 2 3 4",
    ("after", "pause"): "",
    ("after", "pause until 01:30"): "2 3 4",
    ("after", "jitter"): "1 2 3 4",
    ("after", "deadline"): "1 2 3 4",
    ("after", "overlap"): "1 2 3 4",
}
# how a process that comes back at 04:30 after four and a half hours makes up for what it missed
MISSED = {
    ("cron", "none", 0): "",
    ("cron", "latest", 0): "4",
    ("cron", "all", 0): "1 2 3 4",
    ("cron", "none", 3 * 3600): "",
    ("cron", "latest", 3 * 3600): "4",
    ("cron", "all", 3 * 3600): "2 3 4",
    ("cron", "latest", 600): "",
    ("every", "none", 0): "",
    ("every", "latest", 0): "4",
    ("every", "all", 0): "1 2 3 4",
    ("every", "latest", 3 * 3600): "4",
    ("every", "all", 3 * 3600): "2 3 4",
    ("every", "all", 600): "",
    ("once", "none", 0): "",
    ("once", "latest", 0): "2",
    ("once", "all", 0): "2",
    ("once", "latest", 3 * 3600): "2",
    ("once", "latest", 600): "",
}


def schedule_of(kind: str, **more: Any) -> Schedule:
    return Schedule("s", "q", created=MIDNIGHT, last_tick=MIDNIGHT, **KINDS[kind], **more)


def lived(schedule: Schedule, moments: Iterator[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Ticks that make runs, with the moments at which they do, where somebody looks at these moments."""
    for now in moments:
        decision = due(schedule, now)
        for tick in decision.ticks:
            schedule = ticked(schedule, decision, tick, "r", "")
            yield tick, now
        if not decision.ticks:
            schedule = settled(schedule, decision)


def minutes(begin: float, end: float) -> Iterator[datetime]:
    return (at(begin) + timedelta(minutes=n) for n in range(round((end - begin) * 60) + 1))


def told(ticks: list[datetime]) -> str:
    return " ".join(f"{(tick - MIDNIGHT) / timedelta(hours=1):g}" for tick in ticks)


def test_there_is_a_row_for_everything() -> None:
    assert set(RUNS) == {(kind, policy) for kind in KINDS for policy in POLICIES}


@pytest.mark.parametrize(("kind", "policy"), RUNS)
def test_every_policy_with_every_kind(kind: str, policy: str) -> None:
    schedule = schedule_of(kind, **POLICIES[policy])
    if kind == "after":
        found = []
        for hour in range(1, 5):
            followed = follow(schedule, Ended("p", "succeeded", at(hour)), at(hour))
            schedule = followed.schedule if followed else schedule
            found += [followed.moment] if followed and followed.moment else []
        assert told(found) == RUNS[kind, policy]
        return
    made = list(lived(schedule, minutes(0, 4.5)))
    assert told([tick for tick, _ in made]) == RUNS[kind, policy]
    for tick, now in made:  # on time, to the minute in which one looked
        assert timedelta() <= now - tick - delay(schedule, tick) < timedelta(minutes=1)


@pytest.mark.parametrize(("kind", "catch_up", "window"), MISSED)
def test_what_is_made_up_for(kind: str, catch_up: str, window: int) -> None:
    schedule = schedule_of(kind, catch_up=catch_up, window=window)
    made = [tick for tick, _ in lived(schedule, minutes(4.5, 4.6))]
    assert told(made) == MISSED[kind, catch_up, window]


def test_what_is_over_is_done() -> None:
    assert due(schedule_of("cron", end=at(2)), at(2.5)).done
    assert not due(schedule_of("cron", end=at(2)), at(1.5)).done
    assert due(schedule_of("once"), at(2.5)).done
    three = schedule_of("cron", end=at(3), catch_up="all")
    decision = due(three, at(5))
    assert [ticked(three, decision, tick, "r", "").done for tick in decision.ticks] == [False, False, True]


def test_once_may_be_far_away_and_a_start_too() -> None:
    far = datetime(2099, 1, 1, tzinfo=UTC)
    assert next_moment(replace(schedule_of("once"), at=far), MIDNIGHT) == far
    assert next_moment(schedule_of("cron", start=far), MIDNIGHT) == far
    assert next_moment(schedule_of("every", start=far), MIDNIGHT) == far


def test_what_skips_every_day_never_fires() -> None:
    with pytest.raises(InvalidRequest, match="never fire"):
        check(schedule_of("cron", skip=("2026-01-01..2999-12-31",)), [], now=MIDNIGHT)


def test_a_pause_that_ends_is_told_when_it_does() -> None:
    schedule = schedule_of("cron", paused=True, paused_by="ann", paused_reason="x", paused_until=at(1.5))
    assert due(schedule, at(1)).next == at(1.5)
    after = settled(schedule, due(schedule, at(1.5)))
    assert (after.paused, after.paused_by, after.paused_until, after.last_tick) == (False, "", None, at(1.5))
    # what came in a pause is not made up for; what was missed behind it is
    assert told([t for t, _ in lived(replace(schedule, catch_up="all"), minutes(3.5, 3.6))]) == "2 3"


@pytest.mark.parametrize(
    ("text", "zone", "tick", "expected"),
    [
        ("07:00", "UTC", "2026-03-02T06:00Z", "2026-03-02T07:00Z"),
        ("07:00", "UTC", "2026-03-02T07:00Z", "2026-03-03T07:00Z"),
        ("07:00+1d", "UTC", "2026-03-02T06:00Z", "2026-03-03T07:00Z"),
        ("7:30", "Europe/Berlin", "2026-03-02T05:00Z", "2026-03-02T06:30Z"),
        ("02:30", "Europe/Berlin", "2026-03-28T23:30Z", "2026-03-29T01:30Z"),  # it does not exist: 03:30
        ("07:00+1d", "Europe/Berlin", "2026-03-28T05:00Z", "2026-03-29T05:00Z"),  # 23 hours later
        ("2h", "Europe/Berlin", "2026-03-29T00:30Z", "2026-03-29T02:30Z"),
        ("1d12h", "UTC", "2026-03-02T06:00Z", "2026-03-03T18:00Z"),
    ],
)
def test_deadlines(text: str, zone: str, tick: str, expected: str) -> None:
    assert deadline_of(text, zone, datetime.fromisoformat(tick)) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("text", ["25:00", "07:60", "soon", "0s", "07:00+d", "-2h"])
def test_what_is_no_deadline(text: str) -> None:
    with pytest.raises(InvalidRequest):
        check(schedule_of("cron", deadline=text), [])


@pytest.mark.parametrize(
    "days", [("2026-02-30",), ("tomorrow",), ("2026-03-05..2026-03-01",), ("13-01",), ("x",) * 2000]
)
def test_what_is_no_day(days: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest):
        check(schedule_of("cron", skip=days), [])


schedules = st.builds(
    lambda what, zone, catch_up, window, jitter, skip: Schedule(
        "s", "p", zone=zone, catch_up=catch_up, window=window, jitter=jitter, skip=skip,
        created=MIDNIGHT, last_tick=MIDNIGHT, **what,
    ),
    st.sampled_from(
        [
            {"kind": "cron", "cron": ("*/10 * * * *",)},
            {"kind": "cron", "cron": ("30 2 * * *", "0 */3 * * *")},
            {"kind": "cron", "cron": ("0 0 * * SUN",)},
            {"kind": "every", "every": 5400},
            {"kind": "once", "at": at(24 * 27.2)},
        ]
    ),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.sampled_from(["none", "latest", "all"]),
    st.sampled_from([0, 7200]),
    st.sampled_from([0, 300]),
    st.sampled_from([(), ("2026-03-29",)]),
)  # fmt: skip
spans = st.lists(st.sampled_from([1, 30, 59, 60, 61, 599, 3600, 7000, 86_400, 172_800]), min_size=1, max_size=40)


@settings(max_examples=150, derandomize=True)
@given(schedules, spans, st.integers(0, 27))
def test_wherever_one_looks_a_tick_is_due_once_and_as_it_is_judged(
    schedule: Schedule, gaps: list[int], day: int
) -> None:
    now = at(24 * day)
    schedule = replace(schedule, last_tick=now)
    ticks = between(schedule, now, now + timedelta(seconds=sum(gaps) + 1))
    made: list[datetime] = []
    for gap in gaps:
        before, now = now, now + timedelta(seconds=gap)
        decision = due(schedule, now)
        judged = [t for t in ticks if t + delay(schedule, t) <= now and judge(schedule, t, now).make]
        assert list(decision.ticks) == judged
        assert decision.next is None or decision.next > now
        for tick in decision.ticks:
            made.append(tick)
            schedule = ticked(schedule, decision, tick, "r", "")
        if not decision.ticks:
            schedule = settled(schedule, decision)
        assert due(schedule, now).ticks == ()
        assert due(schedule, before).ticks == ()  # the clock set back
        on_time = [t for t in ticks if timedelta() <= now - t - delay(schedule, t) < GRACE]
        assert set(on_time) <= set(made)
    assert all(a < b for a, b in pairwise(made))
    if schedule.catch_up == "all" and not schedule.window:
        assert made == [t for t in ticks if t + delay(schedule, t) <= now]


@settings(max_examples=100, derandomize=True)
@given(schedules, st.integers(0, 60 * 24 * 400))
def test_moments_increase_and_each_is_the_next_of_the_one_before(schedule: Schedule, begin: int) -> None:
    after = MIDNIGHT + timedelta(minutes=begin)
    found = [t for t, _ in zip(upcoming(schedule, after), range(30), strict=False)]
    assert all(a < b for a, b in pairwise([after, *found]))
    assert [next_moment(schedule, t) for t in found[:-1]] == found[1:]
    assert {delay(schedule, t) < timedelta(seconds=max(schedule.jitter, 1)) for t in found} <= {True}
