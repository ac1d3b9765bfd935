"""Filters of `khantui runs`, and how runs and schedules are put into words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from backend.api.wire import RunView
from khantui.api.client import _select
from khantui.cli.runs import conditions
from khantui.cli.schedules import moment_lines
from khantui.errors import Misuse

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def run(number: int, hours: float, **fields: Any) -> RunView:
    value = {
        "id": f"0000000000-00000{number}",
        "pipeline": "etl",
        "version": 1,
        "state": "succeeded",
        "logical_time": NOW,
        "zone": "UTC",
        "created": NOW - timedelta(hours=hours),
        "started": None,
        "ended": None,
        "parameters": {},
        "trigger": {},
        "message": "",
        "ending": "",
        "round": 1,
        "progress": {},
        "revision": number,
    }
    return msgspec.convert(value | fields, RunView)


RUNS = [
    run(1, 0.5, pipeline="weekly-learners"),
    run(2, 1, version=2, trigger={"kind": "schedule", "schedule": "daily"}),
    run(3, 30),
]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), {}),
        (("etl",), {"pipeline": "etl"}),
        (("failed",), {"state": ["failed"]}),
        (("state=failed,queued", "pipeline=etl"), {"state": ["failed", "queued"], "pipeline": "etl"}),
        (("pipeline~learn", "age<2h"), {"pipeline~": "learn", "age<": timedelta(hours=2)}),
        (("age > 1d", "version=v2"), {"age>": timedelta(days=1), "version": "v2"}),
    ],
)
def test_filters(filters: tuple[str, ...], expected: dict[str, object]) -> None:
    assert conditions(filters) == expected


@pytest.mark.parametrize("text", ["state=asleep", "age=2h", "age<soon", "state~fail", "colour=red", "=x", "version>2"])
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(Misuse):
        conditions((text,))


@pytest.mark.parametrize(
    ("filters", "revisions"),
    [
        (("age<2h",), [1, 2]),
        (("age>45m",), [2, 3]),
        (("pipeline~learn",), [1]),
        (("version=v2",), [2]),
        (("trigger=schedule",), [2]),
        (("schedule=daily",), [2]),
        (("age<2h", "version=1"), [1]),
    ],
)
def test_what_the_daemon_does_not_filter_by_is_filtered_here(filters: tuple[str, ...], revisions: list[int]) -> None:
    assert [r.revision for r in _select(iter(RUNS), conditions(filters), NOW)] == revisions


def test_nothing_older_is_asked_for_than_the_filter_wants() -> None:
    runs = iter(RUNS)
    list(_select(runs, conditions(("age<45m",)), NOW))
    assert [r.revision for r in runs] == [3]  # the second was too old, the third never read


def test_firings_say_where_the_clocks_change() -> None:
    moments = [datetime(2026, 3, 28, 5, tzinfo=UTC), datetime(2026, 3, 29, 4, tzinfo=UTC)]
    assert list(moment_lines(moments, "Europe/Berlin", datetime(2026, 3, 27, 5, tzinfo=UTC))) == [
        "  Sat 2026-03-28 06:00  (05:00 UTC)  in 1d",
        "  Sun 2026-03-29 06:00  (04:00 UTC)  in 1d  ~ the clocks have changed",
    ]
