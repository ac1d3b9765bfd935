"""Schedules from the command line: previews without a daemon, and what is said to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec import UNSET

from backend.api.wire import FiringView, ForesightView
from khantui.cli.preview import show_preview
from khantui.cli.root import khantui
from khantui.cli.schedules import _body
from khantui.cli.session import Session
from khantui.errors import Misuse
from khantui.state.when import days_of, moment_of, seconds_of

NOON = datetime(2027, 3, 2, 12, tzinfo=UTC)
NOTHING = dict.fromkeys(
    [
        *("zone", "at", "every", "condition", "join", "match", "catch_up", "window", "overlap", "jitter", "start"),
        *("end", "deadline"),
    ]
)


def preview(*args: str) -> Result:
    return CliRunner().invoke(khantui, ["preview", *args])


def times(*args: str) -> list[str]:
    result = preview(*args, "-o", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == ["times"]
    return found["times"]  # type: ignore[no-any-return]


def test_an_expression_is_previewed_without_a_daemon() -> None:
    assert times("--cron", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2027-03-27", "-n", "3") == [
        "2027-03-27T01:30:00Z",
        "2027-03-29T00:30:00Z",
        "2027-03-30T00:30:00Z",
    ]


def test_the_moment_that_it_is_from_is_not_among_them() -> None:
    assert times("--cron", "0 6 * * *", "--from", "2027-03-27T06:00:00Z", "-n", "1") == ["2027-03-28T06:00:00Z"]
    assert times("--cron", "0 6 * * *", "--from", "2027-03-27T05:59:59.9Z", "-n", "1") == ["2027-03-27T06:00:00Z"]


def test_several_expressions_and_spans() -> None:
    assert times("--cron", "0 6 * * *", "--cron", "0 6,7 * * *", "--from", "2027-03-27", "-n", "3") == [
        "2027-03-27T06:00:00Z",
        "2027-03-27T07:00:00Z",
        "2027-03-28T06:00:00Z",
    ]
    assert times("--every", "90m", "--from", "2027-03-27", "-n", "2") == [
        "2027-03-27T01:30:00Z",
        "2027-03-27T03:00:00Z",
    ]


def test_for_people_it_has_the_zone_and_says_what_surprises() -> None:
    result = preview("--cron", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2027-03-27", "-n", "2")
    assert result.stdout.splitlines()[1].startswith("  Mon 2027-03-29 02:30  (00:30 UTC)")
    assert "the clocks have changed" in result.stdout
    assert "! 2027-03-28 02:30 does not exist in Europe/Berlin: it does not fire then" in result.stderr


def test_lines_and_names() -> None:
    args = ("--cron", "@daily", "--from", "2027-03-27T01:00", "-n", "1")
    assert preview(*args, "-o", "jsonl").stdout == '"2027-03-28T00:00:00Z"\n'
    assert preview(*args, "-o", "name").stdout == "2027-03-28T00:00:00+00:00\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "name a schedule"),
        (("s", "--cron", "@daily"), "name a schedule"),
        (("--cron", "61 * * * *"), "'61' is no minute"),
        (("--cron", "@daily", "--tz", "Mars/Base"), "no time zone"),
        (("--cron", "@daily", "--from", "tomorrow"), "no time that I understand"),
        (("--every", "soon"), "no duration"),
        (("--every", "0s"), "a span of time"),
        (("--cron", "@every 5m"), "--every 90m"),
    ],
)
def test_what_makes_no_sense_is_said(args: tuple[str, ...], words: str) -> None:
    result = preview(*args)
    assert result.exit_code == 2
    assert words in result.stderr


def test_what_is_not_mentioned_is_not_said_to_the_daemon() -> None:
    given = {**NOTHING, "cron": ("@daily",), "after": (), "parameters": (), "skip": (), "calendars": ()}
    body = _body("p", given, None)
    assert (body.kind, body.cron) == ("cron", ("@daily",))
    assert {body.zone, body.catch_up, body.jitter, body.start, body.skip, body.parameters} == {UNSET}
    body = _body("p", {**given, "jitter": "5m", "start": "", "overlap": "pipeline", "deadline": ""}, None)
    assert (body.jitter, body.start, body.overlap, body.deadline) == (300, None, "", "")
    assert _body("p", {**given, "calendars": ("",)}, None).calendars == ()


def test_moments_spans_and_days(tmp_path: Path) -> None:
    assert moment_of("2027-03-28", "Europe/Berlin").isoformat() == "2027-03-28T00:00:00+01:00"
    assert moment_of("2027-03-28", "Europe/Berlin", last=True).isoformat() == "2027-03-28T23:59:59.999999+02:00"
    assert moment_of("2027-03-28T06:00Z", "Europe/Berlin") == datetime(2027, 3, 28, 6, tzinfo=UTC)
    assert (seconds_of("90m", "--x"), seconds_of("", "--x")) == (5400, 0)
    with pytest.raises(Misuse, match="whole number"):
        seconds_of("100ms", "--x")
    (tmp_path / "days").write_text("# closed\n2026-12-25  # Christmas\n\n01-01\n")
    assert days_of(("2026-12-25", f"@{tmp_path / 'days'}", "")) == ("2026-12-25", "01-01")
    with pytest.raises(Misuse, match="cannot read"):
        days_of((f"@{tmp_path}",))


def firing(hours: float, **more: object) -> FiringView:
    at = NOON + timedelta(hours=hours)
    return FiringView(at, (), starts=at, logical_time=at, **more)  # type: ignore[arg-type]


def test_an_edit_is_shown_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    seen = ForesightView(
        "every hour at :30", (firing(0.5), firing(1.5, clash="beside"), firing(2)), name="s", zone="UTC",
        old=tuple(NOON + timedelta(hours=n) for n in (1, 2, 3)), old_when="every hour at :00", old_zone="UTC",
    )  # fmt: skip
    show_preview(Session(), seen)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["now:", "every", "hour", "at", ":00", "then:", "every", "hour", "at", ":30"]
    assert [line[0] for line in lines[1:5]] == ["+", "-", "+", " "]
    assert "beside the run before" in lines[5]
