"""`${…}`: what it becomes, and what is said of what it cannot become."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from backend.spec.interpolate import Context, InterpolationError, fill, resolve

BERLIN = ZoneInfo("Europe/Berlin")
MOMENT = datetime(2026, 3, 31, 6, 30, tzinfo=UTC)
CONTEXT = Context(MOMENT, "01abc-def", 2, "learners", 7, "daily", {"region": "eu"}, "clean.2025")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${date}", "2026-03-31"),
        ("${time}", "2026-03-31T06:30:00+00:00"),
        ("${date - 7d}", "2026-03-24"),
        ("${date-7d}", "2026-03-24"),
        ("${date + 1w + 1d}", "2026-04-08"),
        ("${date - 1mo}", "2026-02-28"),
        ("${date + 1y}", "2027-03-31"),
        ("${date - 25mo}", "2024-02-29"),
        ("${time - 90m:%H:%M}", "05:00"),
        ("${date:%Y%m%d}", "20260331"),
        ("${date - 1d:%Y/%m/%d}", "2026/03/30"),
        ("t_${date:%Y%m%d}_${parameters.region}", "t_20260331_eu"),
        ("${run.id}/${run.attempt}", "01abc-def/2"),
        ("${pipeline.name} v${pipeline.version} ${schedule.name} ${stage.name}", "learners v7 daily clean.2025"),
        ("$${date} and $HOME and ${ date }", "${date} and $HOME and 2026-03-31"),
        ("${DAY}", "monday"),
    ],
)
def test_it_is_filled_in(text: str, value: str) -> None:
    assert fill(text, CONTEXT, {"DAY": "monday"}) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${date", "no closing brace"),
        ("${}", "do not understand"),
        ("${date -}", "do not understand"),
        ("${date - 7}", "do not understand"),
        ("${date - 7 moons}", "'moons' .* no unit"),
        ("${date - 200000d}", "too far away"),
        ("${date - 9000y}", "does not come out as a date"),
        ("${date:}", "empty format"),
        ("${region - 1d}", "only date and time"),
        ("${parameters.colour}", "no parameter 'colour'"),
        ("${NOTHING}", "no variable 'NOTHING'"),
    ],
)
def test_what_cannot_be_filled_in_says_why(text: str, words: str) -> None:
    with pytest.raises(InterpolationError, match=words):
        fill(text, CONTEXT, {})


def test_days_are_the_calendars_and_hours_the_clocks() -> None:
    context = Context(datetime(2026, 3, 29, 12, tzinfo=BERLIN))  # the night before lost an hour
    assert fill("${time - 1d}", context, {}) == "2026-03-28T12:00:00+01:00"
    assert fill("${time - 24h}", context, {}) == "2026-03-28T11:00:00+01:00"


def test_the_zone_decides_which_day_it_is() -> None:
    late = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
    assert fill("${date}", Context(late), {}) == "2026-03-02"
    assert fill("${date}", Context(late.astimezone(BERLIN)), {}) == "2026-03-03"


def test_variables_may_refer_to_one_another_in_any_order() -> None:
    found = resolve({"C": "${B}!", "A": "1", "B": "${A}2"}, CONTEXT)
    assert found == {"C": "12!", "A": "1", "B": "12"}
    assert list(found) == ["C", "A", "B"]


def test_a_long_chain_is_no_matter() -> None:
    chain = {f"V{i}": f"${{V{i + 1}}}" for i in range(3000)} | {"V3000": "end"}
    assert resolve(chain, CONTEXT)["V0"] == "end"


def test_a_circle_is_named() -> None:
    with pytest.raises(InterpolationError, match="A → B → A"):
        resolve({"A": "${B}", "B": "${A}"}, CONTEXT)


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    context = Context(MOMENT, parameters={"region": "${date}"})
    assert resolve({"R": "${parameters.region}", "S": "${R}"}, context) == {"R": "${date}", "S": "${date}"}
