"""What follows the end of a run: conditions, any and all, dates, outputs that change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from backend.schedule.follow import MOST_MET, Ended, concerns, follow
from backend.schedule.model import Schedule

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def after(*causes: str, **more: Any) -> Schedule:
    return Schedule("f", "q", "after", after=causes, created=NOW, **more)


def ended(what: str) -> Ended:
    """`p`, `p failed`, `p @3T06` (3 March, 06:00 UTC), `p table=abc`."""
    pipeline, *words = what.split()
    moment, state, outputs = NOW, "succeeded", {}
    for word in words:
        if word.startswith("@"):
            day, _, hour = word[1:].partition("T")
            moment = datetime(2026, 3, int(day), int(hour or 0), tzinfo=UTC)
        elif "=" in word:
            outputs = dict([word.split("=")])
        else:
            state = word
    return Ended(pipeline, state, moment, outputs)


def story(schedule: Schedule, *ends: str) -> str:
    """Which of these ends start a run: a dot for each that does not, the logical day and hour for each that does."""
    told = []
    for end in ends:
        found = follow(schedule, ended(end), NOW)
        schedule = found.schedule if found else schedule
        told.append(f"{found.moment:%-dT%H}" if found and found.moment else ".")
    return " ".join(told)


@pytest.mark.parametrize(
    ("schedule", "ends", "told"),
    [
        (after("p"), ["p @3T06", "r @3", "p failed", "p cancelled", "p @3T06"], "3T06 . . . 3T06"),
        (after("p", condition="failed"), ["p", "p failed @4", "p cancelled"], ". 4T00 ."),
        (after("p", condition="ended"), ["p @3", "p failed @4", "p cancelled @5"], "3T00 4T00 5T00"),
        (after("p", "r"), ["p @3", "r @4", "p failed"], "3T00 4T00 ."),
        # all, of the same date, whatever the hour; the run has the latest logical time
        (after("p", "r", join="all"), ["p @3T06", "r @4", "r @3T09", "p @4"], ". . 3T09 4T00"),
        (after("p", "r", join="all"), ["p @3", "p @3", "r @3", "r @3", "p @3"], ". . 3T00 . 3T00"),
        (after("p", "r", join="all"), ["p @3", "r failed @3", "r @3"], ". . 3T00"),
        (after("p", "r", join="all", condition="failed"), ["p @3", "p failed @3", "r failed @3"], ". . 3T00"),
        # the date is that of the schedule's zone: 2 March, 23:00 UTC is 3 March in Berlin
        (after("p", "r", join="all", zone="Europe/Berlin"), ["p @2T23", "r @3T10"], ". 3T10"),
        (after("p", "r", join="all"), ["p @2T23", "r @3T10"], ". ."),
        (after("p", "r", join="all", match="time"), ["p @3T06", "r @3T07", "r @3T06"], ". . 3T06"),
        (after("p", "r", join="all", match="latest"), ["p @3", "r @5", "r @6", "p @4"], ". 5T00 . 6T00"),
        # outputs
        (after("p/t"), ["p t=1 @3", "p t=1 @4", "p t=2 @5", "p @6", "p failed t=3 @7"], "3T00 . 5T00 . ."),
        (after("p/t", seen={"p/t": "1"}), ["p t=1 @3", "p t=2 @4", "p t=1 @5"], ". 4T00 5T00"),
        (after("p/t", "r", join="all"), ["r @3", "p t=1 @3", "r @3", "p t=1 @3", "p t=2 @3"], ". 3T00 . . 3T00"),
        # policies
        (after("p", paused=True), ["p"], "."),
        (after("p", paused=True, paused_until=NOW), ["p @3"], "3T00"),
        (after("p", paused=True, paused_until=NOW + timedelta(hours=1)), ["p"], "."),
        (after("p", start=NOW + timedelta(hours=1)), ["p"], "."),
        (after("p", end=NOW - timedelta(hours=1)), ["p"], "."),
        (after("p", skip=("2026-03-03", "03-05")), ["p @3", "p @4", "p @5"], ". 4T00 ."),
    ],
)
def test_stories(schedule: Schedule, ends: list[str], told: str) -> None:
    assert story(schedule, *ends) == told


def test_what_changed_in_a_pause_is_not_made_up_for() -> None:
    schedule = after("p/t", paused=True, seen={"p/t": "1"})
    found = follow(schedule, ended("p t=2"), NOW)
    assert found is not None
    assert story(replace(found.schedule, paused=False), "p t=2 @3", "p t=3 @4") == ". 4T00"


def test_what_never_becomes_whole_is_forgotten_in_the_end() -> None:
    schedule = after("p", "r", join="all")
    for day in range(MOST_MET + 20):
        found = follow(schedule, Ended("p", "succeeded", NOW + timedelta(days=day)), NOW)
        assert found is not None
        schedule = found.schedule
    assert len(schedule.met) == MOST_MET
    assert min(schedule.met) == f"{NOW + timedelta(days=20):%Y-%m-%d}"


def test_whom_it_concerns() -> None:
    assert concerns(after("p/t", "r"), "p")
    assert not concerns(after("p/t", "r"), "t")
    assert not concerns(Schedule("s", "p", "cron", ("@daily",)), "p")
