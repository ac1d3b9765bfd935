"""docs/schedules.md says what clocks do to schedules; this holds it, row by row, against what they do."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from backend.schedule.model import Schedule
from backend.schedule.moments import between, upcoming
from backend.schedule.ticks import due, judge
from backend.spec.quantity import duration
from tests.unit.schedule.documented import ClockRow, clock, clock_rows, rows

DAY = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize("row", clock_rows(), ids=lambda row: f"{row.what} {row.schedule.zone}")
def test_what_clocks_do(row: ClockRow) -> None:
    zone = ZoneInfo(row.schedule.zone)
    found = [
        f"{t.astimezone(zone):%Y-%m-%d %H:%M %z}" for t in islice(upcoming(row.schedule, row.begin), len(row.times))
    ]
    assert found == row.times


@pytest.mark.parametrize("cells", rows("absence"), ids=lambda cells: f"{cells[0]}, {cells[1]}")
def test_what_an_absence_does(cells: list[str]) -> None:
    _, catch_up, window, now_text, runs, following = cells
    schedule = Schedule(
        *("s", "p", "cron"),
        cron=("0 * * * *",),
        catch_up=catch_up,  # type: ignore[arg-type]
        window=0 if window == "–" else int(duration(window)),
        last_tick=clock("06:00", DAY),
    )
    now = clock(now_text, DAY)
    expected = [] if runs == "–" else [clock(each, DAY) for each in runs.split(", ")]
    found = due(schedule, now)
    assert (list(found.ticks), found.next) == (expected, clock(following, DAY))
    # asked tick by tick, as the controller of CronJobs asks, it is the same
    missed = between(schedule, clock("06:00", DAY), max(now, clock("06:00", DAY)))
    assert [tick for tick in missed if judge(schedule, tick, now).make] == expected
