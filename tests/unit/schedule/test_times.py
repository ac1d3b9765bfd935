"""When a cron expression fires: against croniter where there is no doubt, and by table where clocks change."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterBadDateError, croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import InvalidRequest
from backend.schedule.cron import kubernetes_problems, parse_cron
from backend.schedule.times import between, next_after
from backend.zones import zone_of

UTC_ZONE = ZoneInfo("UTC")


def local(expression: str, zone: str, begin: str, days: int) -> list[str]:
    """Local wall times with their offset, from a local midnight on."""
    tz = ZoneInfo(zone)
    start = datetime.fromisoformat(begin)
    first, last = (day.replace(tzinfo=tz).astimezone(UTC) for day in (start, start + timedelta(days=days)))
    second = timedelta(seconds=1)
    found = between([parse_cron(expression)], tz, first - second, last - second)
    return [f"{moment.astimezone(tz):%d %H:%M %z}" for moment in found]


@pytest.mark.parametrize(
    ("expression", "zone", "begin", "days", "expected"),
    [
        # the hour that does not exist: 02:00 to 03:00 on 29 March 2026
        ("30 2 * * *", "Europe/Berlin", "2026-03-28", 3, ["28 02:30 +0100", "30 02:30 +0200"]),
        ("0 3 * * *", "Europe/Berlin", "2026-03-29", 1, ["29 03:00 +0200"]),
        ("0 1-3 * * *", "Europe/Berlin", "2026-03-29", 1, ["29 01:00 +0100", "29 03:00 +0200"]),
        # the hour that exists twice: 02:00 to 03:00 on 25 October 2026
        ("30 2 * * *", "Europe/Berlin", "2026-10-25", 1, ["25 02:30 +0200", "25 02:30 +0100"]),
        ("0 3 * * *", "Europe/Berlin", "2026-10-25", 1, ["25 03:00 +0100"]),
        ("0 2 * 10 SUN", "Europe/Berlin", "2026-10-25", 1, ["25 02:00 +0200", "25 02:00 +0100"]),
        ("30 1 * * *", "America/New_York", "2026-11-01", 1, ["01 01:30 -0400", "01 01:30 -0500"]),
        ("30 2 * * *", "America/New_York", "2026-03-08", 1, []),
        # half an hour of daylight saving
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", 1, []),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", 1, ["05 01:45 +1100", "05 01:45 +1030"]),
        # clocks turned back over midnight: 4 April 2026 has 25 hours in Santiago, its last one twice
        ("30 23 * * *", "America/Santiago", "2026-04-04", 1, ["04 23:30 -0300", "04 23:30 -0400"]),
        # midnight does not exist on 6 September 2026
        ("0 0 * * *", "America/Santiago", "2026-09-05", 2, ["05 00:00 -0400"]),
        # a day that a country left out
        ("0 12 * * *", "Pacific/Apia", "2011-12-29", 3, ["29 12:00 -1000", "31 12:00 +1400"]),
        ("0 0 29 2 *", "UTC", "2026-01-01", 1200, ["29 00:00 +0000"]),
    ],
)
def test_where_clocks_change(expression: str, zone: str, begin: str, days: int, expected: list[str]) -> None:
    assert local(expression, zone, begin, days) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 13 * FRI", ["01-02", "01-09", "01-13", "01-16", "01-23", "01-30"]),  # either, where neither has a star
        (
            "0 0 */9 * FRI",
            ["01-01", "01-02", "01-09", "01-10", "01-16", "01-19", "01-23", "01-28", "01-30"],
        ),  # a step too
        ("0 0 */1 * FRI", ["01-02", "01-09", "01-16", "01-23", "01-30"]),  # both, where one has a star
        ("0 0 13 * *", ["01-13"]),
        ("0 0 * * 7", ["01-04", "01-11", "01-18", "01-25"]),
        ("0 0 * JAN sun", ["01-04", "01-11", "01-18", "01-25"]),
        ("@monthly", ["01-01"]),
        ("@weekly", ["01-04", "01-11", "01-18", "01-25"]),
        ("0 0 1-5/2 * *", ["01-01", "01-03", "01-05"]),
        ("0 0 1,2,31 * *", ["01-01", "01-02", "01-31"]),
    ],
)
def test_days(expression: str, expected: list[str]) -> None:
    begin = datetime(2025, 12, 31, 12, tzinfo=UTC)
    found = between([parse_cron(expression)], UTC_ZONE, begin, begin + timedelta(days=31))
    assert [f"{moment:%m-%d}" for moment in found] == expected


fields = st.tuples(
    st.sampled_from(["*", "*/7", "0", "59", "5,35", "10-20/5"]),
    st.sampled_from(["*", "*/5", "0", "23", "6-18", "1,13"]),
    st.sampled_from(["*", "?", "1", "31", "29", "10-12", "*/9"]),
    st.sampled_from(["*", "2", "JAN-MAR", "*/4", "12"]),
    st.sampled_from(["*", "0", "MON-FRI", "6", "1,3,5"]),
)


@settings(max_examples=150, derandomize=True)
@given(fields, st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)))
def test_it_agrees_with_croniter_where_clocks_do_not_change(parts: tuple[str, ...], begin: datetime) -> None:
    if parts[2] not in ("*", "?") and parts[4] != "*":
        return  # either or both: by the table above, as Kubernetes has it
    expression = " ".join(parts)
    begin = begin.replace(tzinfo=UTC)
    until = begin + timedelta(days=1500)
    found = between([parse_cron(expression)], UTC_ZONE, begin, until, 20)
    other = croniter(expression.replace("?", "*"), begin, max_years_between_matches=5)
    assert found == [other.get_next(datetime) for _ in found]
    if len(found) < 20:
        with contextlib.suppress(CroniterBadDateError):  # never
            assert other.get_next(datetime) > until


@settings(max_examples=40, derandomize=True)
@given(
    st.lists(fields.map(" ".join), min_size=1, max_size=3),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
)
def test_times_increase_and_each_is_the_next_after_the_one_before(
    expressions: list[str], zone: str, begin: datetime
) -> None:
    crons, tz, moment = [parse_cron(e) for e in expressions], ZoneInfo(zone), begin.replace(tzinfo=UTC)
    found = between(crons, tz, moment, moment + timedelta(days=2000), 30)
    for each in found:
        assert next_after(crons, tz, moment) == each
        wall = each.astimezone(tz)
        assert any(wall.minute in c.minutes and wall.hour in c.hours and c.on(wall.date()) for c in crons)
        moment = each


def test_what_never_fires() -> None:
    assert next_after([parse_cron("0 0 30 2 *")], UTC_ZONE, datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "five fields|fields"),
        ("* * * *", "fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day of week"),
        ("*/0 * * * *", "."),
        ("?-3 * * * *", "minute"),
        ("@fortnightly", "."),
        ("every day", "."),
        ("* * * * * * *", "."),
    ],
)
def test_what_is_no_expression_says_why(expression: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_cron(expression)
    assert re.search(words, f"{caught.value.message} {caught.value.hint}")


def test_what_kubernetes_would_refuse_is_said() -> None:
    assert kubernetes_problems("0 6 * * MON-FRI") == []
    assert kubernetes_problems("@daily") == []
    assert "wraps round" in kubernetes_problems("50-10 * * * *")[0]
    assert "Sunday is 0" in kubernetes_problems("0 0 * * 7")[0]
    assert "seconds" in kubernetes_problems("0 0 * * * 0")[0]
    assert kubernetes_problems("@Daily") == ["CronJobs know it as @daily"]


def test_zones() -> None:
    assert zone_of("Europe/Berlin").key == "Europe/Berlin"
    for name in ("Mars/Base", "", "../etc/passwd"):
        with pytest.raises(InvalidRequest, match="no time zone"):
            zone_of(name)
