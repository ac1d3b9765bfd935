"""Schedules written for cron and for Kubernetes: what fires stays the same, and what cannot is said."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from backend.api.wire import ScheduleView
from backend.schedule.model import Schedule
from backend.schedule.moments import between
from khantui.crontab.cronjobs import cronjob_yaml, name_of
from khantui.crontab.export import cron_times, crontab_lines
from khantui.crontab.lines import parse

MADE = datetime(2026, 11, 2, 7, 10, tzinfo=UTC)


def view(**given: Any) -> ScheduleView:
    plain: dict[str, Any] = {
        "name": "s", "pipeline": "p", "kind": "cron", "cron": (), "zone": "UTC", "at": None, "after": (),
        "parameters": {}, "catch_up": "latest", "paused": False, "paused_by": "", "paused_reason": "",
        "created": MADE, "created_by": "", "last_tick": None, "last_run": "", "last_state": "", "next": (),
        "done": False, "message": "", "revision": 1, "when": "now and then",
    }  # fmt: skip
    return ScheduleView(**(plain | given))


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("0 6 * * MON", "0 6 * * MON"),
        ("*/5 * * * *", "*/5 * * * *"),
        ("@daily", "@daily"),
        ("5/10 * * * *", "5-59/10 * * * *"),
        ("0 6 ? * MON", "0 6 * * MON"),
        ("0 0 */2 * MON", "0 0 1-31/2 * MON"),
        ("0 0 13 * */2", "0 0 13 * 0-6/2"),
        ("50-10 * * * *", "0,1,2,3,4,5,6,7,8,9,10,50,51,52,53,54,55,56,57,58,59 * * * *"),
        ("0 0 1,* * MON", "0 0 * * MON"),
        ("0 0 * * 7", "0 0 * * 0"),
    ],
)
def test_expressions_are_written_so_that_cron_reads_them_alike(expression: str, written: str) -> None:
    (time,) = cron_times(view(cron=(expression,)))
    assert time == written
    (entry,) = parse(f"{time} x").entries
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    ours, theirs = (Schedule("s", "p", "cron", cron=(e,)) for e in (expression, entry.when))
    assert between(ours, begin, end) == between(theirs, begin, end)


@pytest.mark.parametrize(
    ("every", "written"),
    [
        (600, "0,10,20,30,40,50 * * * *"),
        (60, "* * * * *"),
        (3600, "10 * * * *"),
        (6 * 3600, "10 1,7,13,19 * * *"),
        (86400, "10 7 * * *"),
        (90 * 60, ""),
        (45, ""),
        (7 * 86400, ""),
    ],
)
def test_spans_that_divide_an_hour_or_a_day(every: int, written: str) -> None:
    schedule = view(kind="every", every=every, zone="Asia/Tokyo")
    assert cron_times(schedule) == ([written] if written else [])
    if written:
        end = datetime(2026, 11, 6, tzinfo=UTC)
        cron = Schedule("s", "p", "cron", cron=(written,))
        assert between(cron, MADE, end) == between(Schedule("s", "p", "every", every=every, created=MADE), MADE, end)


def test_a_crontab_of_all_kinds_can_be_read_again() -> None:
    lines = crontab_lines(
        [
            view(
                name="b", cron=("0 6 * * *", "0 18 * * *"), zone="Europe/Berlin", parameters={"rate": "5%", "x": "a b"}
            ),
            view(name="a", cron=("0 5 * * *",), zone="Europe/Berlin", paused=True, paused_reason="moves\n* * * * * rm"),
            view(name="c", kind="after", after=("b",)),
            view(name="d", kind="once", at=MADE),
            view(name="e", cron=("0 0 * * * 30",)),
            view(name="f", kind="every", every=3600, jitter=60, deadline="07:00", skip=("12-25",), overlap="skip"),
        ],
        {"KHANTUI_DATA": "/srv/khan"},
        "/usr/bin/khantui",
    )
    read = parse("\n".join(lines))
    assert not [r for r in read.remarks if not r.kept]
    assert [(e.zone, e.when, e.environment) for e in read.entries] == [
        ("Europe/Berlin", "0 6 * * *", {"KHANTUI_DATA": "/srv/khan"}),
        ("Europe/Berlin", "0 18 * * *", {"KHANTUI_DATA": "/srv/khan"}),
        ("UTC", "10 * * * *", {"KHANTUI_DATA": "/srv/khan"}),
    ]
    assert shlex.split(read.entries[0].command) == ["/usr/bin/khantui", "run", "p", "-p", "rate=5%", "-p", "x=a b"]
    text = "\n".join(lines)
    for words in (
        "#0 5 * * * /usr/bin",
        "paused: moves * * * * * rm",
        "start runs after others",
        "no such thing as once",
        "knows no seconds",
        "jitter is not kept: 1m",
        "deadline is not kept",
        "12-25",
        "skip is not kept",
    ):
        assert words in text  # fmt: skip


def test_cronjobs_are_yaml_that_says_what_the_schedule_says() -> None:
    schedules = [
        view(
            name="b", cron=("0 6 * * *", "30 5 * * 7"), zone="Europe/Berlin", parameters={"on": "yes", "q": "a: #'\"é"}
        ),
        view(name="c", kind="after", after=("b",), when="after b\n- x"),
        view(name="under_score", cron=("@daily",), overlap="replace", paused=True),
    ]
    text = cronjob_yaml(schedules, "https://khantui", "ghcr.io/x/y:1", "token", "ca", "data")
    first, second, nothing, third = yaml.safe_load_all(text)
    assert nothing is None
    assert (first["kind"], first["metadata"]["name"], first["metadata"]["namespace"]) == (
        "CronJob", "khantui-run-b", "data",
    )  # fmt: skip
    assert (first["spec"]["schedule"], first["spec"]["timeZone"]) == ("0 6 * * *", "Europe/Berlin")
    assert (second["metadata"]["name"], second["spec"]["schedule"]) == ("khantui-run-b-2", "30 5 * * 0")
    pod = first["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["command"] == ["khantui", "run", "p", "-p", "on=yes", "-p", "q=a: #'\"é", "--wait"]
    assert pod["containers"][0]["env"][0] == {"name": "KHANTUI_ADDRESS", "value": "https://khantui"}
    assert [s["secret"]["name"] for s in pod["volumes"][0]["projected"]["sources"]] == ["token", "ca"]
    assert (third["spec"]["suspend"], third["spec"]["concurrencyPolicy"]) == (True, "Replace")


def test_names_of_cronjobs_are_short_and_their_own() -> None:
    names = {
        name_of("a" * 63, 0),
        name_of("a" * 62 + "b", 0),
        name_of("a" * 63, 1),
        name_of("a_b", 0),
        name_of("a-b", 0),
    }
    assert len(names) == 5
    assert all(len(name) <= 52 for name in names)


def test_without_a_token_no_secret_is_mounted() -> None:
    (only,) = yaml.safe_load_all(cronjob_yaml([view(cron=("@daily",))], "http://x", "i", "", ""))
    assert "volumes" not in only["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert "namespace" not in only["metadata"]
