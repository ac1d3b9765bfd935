"""Backfills from the command line, on a real daemon that is killed meanwhile."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.program import Program

pytestmark = pytest.mark.slow

MARCH = ("--from", "2026-03-01", "--to", "2026-03-10")


@pytest.fixture
def daily(khantui: Program, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A pipeline of the test's own, whose runs fail on 5 March."""
    name = "d-" + request.node.name.removeprefix("test_").replace("_", "-")[:50]
    stage = {"image": "shell", "script": 'echo $DAY $REGION; test "$DAY" != "$BAD"', "timeout": "1m"}
    return khantui.apply(
        tmp_path / "daily",
        {
            "name": name,
            "parameters": {"region": {"default": "all"}, "bad": {"default": "2026-03-05"}},
            "environment": {"DAY": "${date}", "REGION": "${parameters.region}", "BAD": "${parameters.bad}"},
            "stages": {"only": stage},
        },
    )


def days(runs: list[dict[str, Any]]) -> list[str]:
    return sorted(run["logical_time"][:10] for run in runs)


def test_a_dry_run_lists_what_would_run_and_starts_nothing(khantui: Program, daily: str) -> None:
    seen = khantui("backfill", daily, *MARCH, "-p", "region=eu", "--dry-run")
    assert seen.code == 0, seen
    assert seen.out.startswith(f"10 runs of {daily} v1 from 2026-03-01 00:00 to 2026-03-10 23:59, step 1d")
    assert "Thu 2026-03-05 00:00 +0000  DAY=2026-03-05  REGION=eu" in seen.out
    assert khantui.json("runs", daily) == []
    assert khantui.json("backfills", daily) == []


def test_what_has_failed_is_made_good_by_the_same_backfill_again(khantui: Program, daily: str) -> None:
    first = khantui("backfill", daily, *MARCH, "--parallel", "3", "--wait")
    assert first.code == 1, first
    assert "9 succeeded, 1 failed" in first.out
    assert "10/10, 1 failed" in first.err
    made = khantui.json("backfills", daily)[0]
    failed = khantui.json("runs", f"backfill={made['id']}", "state=failed")
    assert days(failed) == ["2026-03-05"]
    assert failed[0]["trigger"] == {"kind": "backfill", "by": made["created_by"], "backfill": made["id"]}
    listed = khantui.json("backfill", "start", daily, *MARCH, "--dry-run")
    assert (listed["total"], listed["good"]) == (10, 9)
    # a parameter that the good runs had otherwise: they are not good any more
    assert khantui.json("backfill", daily, *MARCH, "-p", "region=eu", "--dry-run")["good"] == 0
    assert khantui("retry", failed[0]["id"], "--wait").code == 1
    again = khantui("backfill", daily, *MARCH, "-o", "json", "--wait")
    assert again.code == 1
    second = khantui.json("backfills", daily)[0]
    assert (second["progress"]["skipped"], second["progress"]["failed"]) == (9, 1)
    every = khantui.json("backfill", daily, *MARCH, "--rerun", "-p", "bad=none", "--order", "newest", "--wait")
    assert (every["state"], every["progress"]["succeeded"]) == ("succeeded", 10)
    newest_first = khantui.json("runs", f"backfill={every['id']}", "--all")
    assert [r["logical_time"][8:10] for r in newest_first] == [f"{day:02}" for day in range(1, 11)]


def test_the_firings_of_its_schedule_are_the_steps(khantui: Program, daily: str) -> None:
    made = khantui("schedule", daily, "--cron", "30 2 * * MON", "--tz", "Europe/Berlin", "-p", "region=us")
    assert made.code == 0, made
    seen = khantui.json("backfill", daily, "--from", "2026-03-16", "--to", "2026-04-06", "--dry-run")
    assert [m["logical_time"] for m in seen["moments"]] == [
        *("2026-03-16T02:30:00+01:00", "2026-03-23T02:30:00+01:00"),
        *("2026-03-30T02:30:00+02:00", "2026-04-06T02:30:00+02:00"),
    ]
    assert {m["environment"]["REGION"] for m in seen["moments"]} == {"us"}
    daily_at_six = khantui.json("backfill", daily, *MARCH, "--step", "0 6 * * *", "--dry-run")
    assert daily_at_six["total"] == 10
    assert khantui("schedule", daily, "--remove").code == 0


def test_it_is_paused_resumed_and_cancelled_as_one(khantui: Program, tmp_path: Path) -> None:
    document = {"name": "d-held", "stages": {"a": {"image": "shell", "script": "sleep 600", "timeout": "20m"}}}
    khantui.apply(tmp_path / "held", document)
    made = khantui.json("backfill", "d-held", *MARCH, "--parallel", "2")
    assert khantui.json("backfill", "pause", made["id"])[0]["state"] == "paused"
    shown = khantui("backfill", "show", made["id"])
    assert f"go on: khantui backfill resume {made['id']}" in shown.out
    assert khantui.json("backfill", "resume", made["id"])[0]["state"] == "running"
    nobody = khantui("backfill", "cancel", "nobody", made["id"])
    assert (nobody.code, "there is no backfill 'nobody'" in nobody.err) == (1, True)
    ended = khantui.json("backfill", "show", made["id"], "--wait", code=1)
    assert (ended["state"], ended["active"]) == ("cancelled", [])
    assert {r["state"] for r in khantui.json("runs", f"backfill={made['id']}")} <= {"cancelled"}
    assert khantui("backfill", "resume", made["id"]).code == 1


def test_what_cannot_be_is_said(khantui: Program, daily: str) -> None:
    for said, *words in (
        ("ahead", "--from", "2999-01-01", "--to", "2999-02-01"),
        ("too many", "--from", "2026-01-01", "--to", "2026-03-01", "--step", "1m"),
        ("ends before it starts", "--from", "2026-03-02", "--to", "2026-03-01"),
        ("is no step", *MARCH, "--step", "nobody"),
        ("no logical time", "--from", "2026-03-02", "--to", "2026-03-03", "--step", "0 0 29 2 *"),
        ("no parameter", *MARCH, "-p", "colour=red"),
    ):
        result = khantui("backfill", daily, *words)
        assert said in result.err, result
        assert result.code == (1 if said == "is no step" else 2), result
    assert khantui("backfill", daily, "--from", "2026-03-01").code == 2


def test_a_daemon_killed_again_and_again_makes_each_run_once() -> None:
    with tempfile.TemporaryDirectory(prefix="kh") as folder:
        daemon = Daemon(Path(folder))
        try:
            daemon.start()
            daemon.apply("p", stages={"a": {"script": "sleep 0.1"}})
            body = {"start": "2026-03-01", "end": "2026-03-31", "parallel": 4}
            made = daemon.http.post("/pipelines/p/backfills", json=body).json()
            view, kills = made, 0
            while view["ended"] is None:
                before = view["progress"]["waiting"]
                while view["ended"] is None and view["progress"]["waiting"] > before - 6:
                    view = daemon.http.get(f"/backfills/{made['id']}").json()
                if view["ended"] is None:
                    daemon.kill()
                    daemon.start()
                    kills += 1
            assert kills >= 3
            runs = daemon.http.get("/runs", params={"filter": f"backfill={made['id']}", "limit": 1000}).json()["items"]
            assert Counter(run["logical_time"][:10] for run in runs) == {f"2026-03-{day:02}": 1 for day in range(1, 32)}
            assert (view["state"], view["progress"]["succeeded"]) == ("succeeded", 31)
        finally:
            daemon.close()
