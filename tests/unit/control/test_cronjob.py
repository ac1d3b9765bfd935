"""A schedule's CronJobs, and what of one in the cluster is not as it should be."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from backend.control.cronjob import FORM, SCHEDULE, SCHEDULED, CronJob, Tick, changes, name_of, wanted
from backend.kube import Meta
from backend.schedule.model import Schedule

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def cron(*expressions: str, name: str = "s", **more: Any) -> Schedule:
    return Schedule(name, "p", "cron", expressions, created=NOON, last_tick=NOON, **more)


def specs(schedule: Schedule) -> list[dict[str, Any]]:
    return [each.manifest["spec"] for each in wanted(schedule, "i", "image")]


def test_each_expression_has_a_cronjob_whose_jobs_are_suspended() -> None:
    found = specs(cron("0 6 * * MON-FRI", "50-10 0 * * 7", zone="Europe/Berlin"))
    minutes = "0,1,2,3,4,5,6,7,8,9,10,50,51,52,53,54,55,56,57,58,59"
    assert [s["schedule"] for s in found] == ["0 6 * * MON-FRI", f"{minutes} 0 * * 0"]
    assert {(s["timeZone"], s["suspend"], s["concurrencyPolicy"]) for s in found} == {("Europe/Berlin", False, "Allow")}
    assert all(s["jobTemplate"]["spec"]["suspend"] for s in found)


def test_a_paused_schedule_is_suspended() -> None:
    assert [s["suspend"] for s in specs(cron("0 6 * * *", paused=True))] == [True]


@pytest.mark.parametrize(
    ("at", "expression"),
    [
        (NOON, "0 12 2 3 *"),
        (NOON + timedelta(seconds=1), "1 12 2 3 *"),  # not before its moment
        (datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC), "0 0 1 1 *"),
        (datetime(2026, 3, 2, 0, 30, tzinfo=timezone(timedelta(hours=1))), "30 23 1 3 *"),
    ],
)
def test_once_is_the_first_whole_minute_in_utc(at: datetime, expression: str) -> None:
    (spec,) = specs(Schedule("s", "p", "once", at=at, zone="Asia/Tokyo"))
    assert (spec["schedule"], spec["timeZone"]) == (expression, "UTC")


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule("s", "p", "after", after=("q",)),
        Schedule("s", "p", "every", every=90),
        Schedule("s", "p", "once", at=NOON, done=True),
        cron("0 6 * * * 30"),
        cron("0 6 * * *", "* * * * * */5"),  # not a part of it
        cron("what is this"),
    ],
)
def test_what_kubernetes_keeps_no_time_for_has_none(schedule: Schedule) -> None:
    assert specs(schedule) == []


def test_names_fit_and_are_no_other_schedules() -> None:
    names = ("a", "a-b", "a_b", "a" * 63, "a" * 62 + "b", "ends-with-", "z")
    found = {name_of(name, number, instance) for name in names for number in range(3) for instance in ("i", "j")}
    assert len(found) == len(names) * 6
    assert max(map(len, found)) <= 52
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in found)


@pytest.mark.parametrize("name", ["plain", "ends-", "a" * 62 + "_", "_".join("ab" * 15)])
def test_labels_end_with_a_letter_or_digit(name: str) -> None:
    (each,) = wanted(cron("0 6 * * *", name=name), "i", "image")
    label = each.marks["labels"][SCHEDULE]
    assert label[-1].isalnum()
    assert len(label) <= 63
    assert each.marks["annotations"][SCHEDULE] == name


def found(schedule: Schedule) -> CronJob:
    """As the API server gives it back: with defaults filled in, without what is empty."""
    (each,) = wanted(schedule, "i", "image")
    manifest = copy.deepcopy(each.manifest)
    spec = manifest["spec"]
    del spec["startingDeadlineSeconds"]
    spec["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
    spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    return CronJob(Meta(each.name, **each.marks), spec)


def test_what_the_api_server_fills_in_is_no_change() -> None:
    (each,) = wanted(cron("0 6 * * *"), "i", "image")
    assert changes(each, found(cron("0 6 * * *"))) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"suspend": True}, "suspend"),
        ({"schedule": "0 7 * * *"}, "schedule"),
        ({"startingDeadlineSeconds": 10}, "startingDeadlineSeconds"),
        ({"jobTemplate": {}}, "jobTemplate.metadata.labels"),
    ],
)
def test_what_somebody_changed_is_named(change: dict[str, Any], field: str) -> None:
    (each,) = wanted(cron("0 6 * * *"), "i", "image")
    there = found(cron("0 6 * * *"))
    there = msgspec.structs.replace(there, spec=there.spec | change)
    assert field in changes(each, there)[0] or field.startswith(changes(each, there)[0])


def test_a_form_says_what_was_written() -> None:
    forms = {
        wanted(schedule, "i", image)[0].marks["annotations"][FORM]
        for schedule in (cron("0 6 * * *"), cron("0 6 * * *", paused=True), cron("0 6 * * *", zone="Asia/Tokyo"))
        for image in ("a", "b")
    }
    assert len(forms) == 6


def test_ticks_say_whose_they_are_and_when() -> None:
    tick = Tick(Meta(annotations={SCHEDULE: "s", SCHEDULED: "2026-03-02T13:00:00+01:00"}))
    assert (tick.schedule, tick.moment) == ("s", NOON)
    assert Tick(Meta(annotations={SCHEDULED: "soon"})).moment is None
    assert Tick(Meta()).moment is None
