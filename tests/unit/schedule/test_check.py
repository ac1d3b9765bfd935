"""Schedules that make no sense are refused, with words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from backend.errors import InvalidRequest
from backend.schedule.check import check
from backend.schedule.model import Schedule
from backend.spec.model import Parameter, Pipeline

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PIPELINE = Pipeline("p", {}, parameters={"region": Parameter(None, ("eu", "us")), "n": Parameter("1")})
GIVEN = {"region": "eu"}


def after(pipeline: str, *causes: str, name: str = "") -> Schedule:
    return Schedule(name or f"{pipeline}-s", pipeline, "after", after=causes)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "cron", "cron": ("@daily", "0 6 * * MON")},
        {"kind": "once", "at": datetime(2026, 3, 2, 13, tzinfo=UTC)},
        {"kind": "after", "after": ("q", "r")},
    ],
)
def test_what_makes_sense(fields: dict[str, Any]) -> None:
    check(Schedule("s", "p", parameters=GIVEN, **fields), [], now=NOW, pipeline=PIPELINE)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "cron"}, "it needs 'cron'"),
        ({"kind": "cron", "cron": ("@daily",), "after": ("q",)}, "and only that"),
        ({"kind": "cron", "cron": ("0 0 31 2 *",)}, "never fires"),
        ({"kind": "cron", "cron": ("61 * * * *",)}, "minute"),
        ({"kind": "cron", "cron": ("@daily",), "zone": "Mars/Base"}, "no time zone"),
        ({"kind": "once", "at": datetime(2026, 3, 2, 11, tzinfo=UTC)}, "is past .*khantui run"),
        ({"kind": "once", "at": datetime(2026, 3, 3, 11)}, "has no time zone"),
        ({"kind": "cron", "cron": ("@daily",), "parameters": {}}, "needs a value for region"),
        ({"kind": "cron", "cron": ("@daily",), "parameters": {"region": "asia"}}, "not a choice .*eu, us"),
        ({"kind": "cron", "cron": ("@daily",), "parameters": {**GIVEN, "m": "1"}}, "no parameter 'm' .*region, n"),
        ({"kind": "after", "after": ("p",)}, "p after p"),
    ],
)
def test_what_makes_none(fields: dict[str, Any], words: str) -> None:
    schedule = Schedule("s", "p", **({"parameters": GIVEN} | fields))
    with pytest.raises(InvalidRequest) as caught:
        check(schedule, [], now=NOW, pipeline=PIPELINE)
    assert re.search(words, f"{caught.value.message} {caught.value.hint}"), caught.value


def test_a_circle_of_pipelines_is_named() -> None:
    others = [after("b", "a"), after("c", "b"), after("x", "c")]
    with pytest.raises(InvalidRequest, match="a after c after b after a"):
        check(after("a", "c"), others)


def test_a_schedule_is_not_in_its_own_way() -> None:
    check(after("b", "a", name="s"), [after("a", "b", name="s")])
