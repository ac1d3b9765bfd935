"""Many schedules as CronJobs, their daemon killed at random on a real etcd: each tick makes one run, or none by policy.

The year of tests/unit/control/test_year.py in a few minutes: what it takes a fake clock for there, a real cluster does.
"""

from __future__ import annotations

import random
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backend.run.state import Run
from backend.schedule.model import Schedule
from tests.e2e.daemon import Daemon
from tests.kubernetes.bench import CLAIM
from tests.kubernetes.cluster import Cluster
from tests.unit.control.test_year import ZONES, check

pytestmark = [
    pytest.mark.kubernetes, pytest.mark.etcd, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900),
]  # fmt: skip

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SCHEDULES, MINUTES, AWAY = 48, 6, 85.0  # how many, for how long, and one absence in seconds: it misses a tick for good
POLICIES = ("all", "latest", "none")
CLOSED = f"{datetime.now(UTC) - DAY:%Y-%m-%d}..{datetime.now(UTC) + DAY:%Y-%m-%d}"  # the days of a calendar


@pytest.fixture
def daemon(confined: Cluster, folder: Path) -> Iterator[Daemon]:
    """A daemon with an etcd of its own, whose data folder is on the shared volume; the test starts it."""
    data = folder / f"year-{secrets.token_hex(3)}"
    data.mkdir()
    daemon = Daemon(data)
    yield daemon
    daemon.close()
    shutil.rmtree(data)


def now() -> datetime:
    return datetime.now(UTC)


def sleep_until(moment: datetime) -> None:
    time.sleep(max((moment - now()).total_seconds(), 0))


class Minutes:
    """The schedules, the deaths of their daemon, and what became of it."""

    def __init__(self, daemon: Daemon, flags: tuple[str, ...]) -> None:
        self.daemon = daemon
        self.flags = flags
        self.away: list[tuple[datetime, datetime]] = []

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.daemon.http.request(method, path, **options)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def all(self, path: str, **query: Any) -> list[dict[str, Any]]:
        found, cursor = [], ""
        while True:
            page = self.ask("GET", path, params={"limit": 1000, **query, **({"cursor": cursor} if cursor else {})})
            found += page["items"]
            cursor = page.get("cursor") or ""
            if not cursor:
                return found

    def make(self) -> None:
        """Of each policy and zone some; every fourth has no run while one of it is active, four stand still today."""
        self.ask("PUT", "/calendars/closed", json={"days": [CLOSED]})
        for number in range(SCHEDULES):
            body = {
                "pipeline": "p", "kind": "cron", "zone": ZONES[number % len(ZONES)], "catch_up": POLICIES[number % 3],
                "cron": ["* * * * *"] if number % 2 else ["*/2 * * * *", "1-59/2 * * * *"],
                "overlap": "skip" if number % 4 == 3 else "queue",
                "calendars": ["closed"] if number % 12 == 5 else [],
            }  # fmt: skip
            self.ask("PUT", f"/schedules/s{number}", json=body)

    def be_killed(self, moments: list[tuple[datetime, float]]) -> None:
        """`kill -9` at each of these moments, and back so many seconds later."""
        for moment, absence in moments:
            sleep_until(moment)
            gone = now()
            self.daemon.kill()
            time.sleep(absence)
            self.daemon.start(*self.flags)
            self.away.append((gone, now()))


def test_each_tick_makes_one_run_whoever_is_killed(daemon: Daemon, confined: Cluster) -> None:
    flags = ("--executor", "kubernetes", "--namespace", confined.namespace, "--volume", f"{CLAIM}/{daemon.folder.name}")
    daemon.start(*flags)
    world = Minutes(daemon, flags)
    # one run at a time, so that it is ticks that are tried and not pods; the others wait
    daemon.apply("p", stages={"a": {"script": "true"}}, concurrency={"limit": 1, "when_full": "queue"})
    world.make()
    chance = random.Random(6)
    first = (now() + timedelta(seconds=20)).replace(second=0, microsecond=0) + MINUTE
    deaths = []
    for minute in range(MINUTES):
        at = first + minute * MINUTE
        if minute == 2:  # away at a tick, and for so long that it is missed for good; back for the next one
            deaths.append((at - timedelta(seconds=10), AWAY))
        elif minute != 3:
            deaths += [(at + timedelta(seconds=chance.uniform(-1, 4)), 0.0), (at + timedelta(seconds=20), 0.0)]
    world.be_killed(deaths)
    sleep_until(first + MINUTES * MINUTE - timedelta(seconds=15))
    for number in range(SCHEDULES):
        world.ask("POST", f"/schedules/s{number}/pause", json={})
    end = now()
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in world.all("/runs"):
        found[run["trigger"]["schedule"]].append(run)
    ticks = 0
    for view in world.all("/schedules"):
        ticks += hold(view, found[view["name"]], world.away, end)
    assert ticks >= SCHEDULES * 2 // 3 * (MINUTES - 1)  # of those that always fire
    assert any(len(found[f"s{n}"]) < MINUTES for n in range(SCHEDULES) if n % 4 == 3)  # and here some are left out
    assert len(world.away) >= 8
    gone = confined.kubectl("wait", "--for=delete", "jobs", "-l", "khantui.dev/schedule", "--timeout=60s", check=False)
    assert "timed out" not in gone


def hold(view: dict[str, Any], made: list[dict[str, Any]], away: list[tuple[datetime, datetime]], end: datetime) -> int:
    """Hold the runs of a schedule against what should be: how many ticks there were."""
    begin = datetime.fromisoformat(view["created"])
    schedule = Schedule(
        view["name"], "p", "cron", tuple(view["cron"]), zone=view["zone"], catch_up=view["catch_up"],
        skip=(CLOSED,) if view["calendars"] else (), created=begin,
    )  # fmt: skip
    runs = [
        Run(r["id"], "p", 1, datetime.fromisoformat(r["logical_time"]), created=datetime.fromisoformat(r["created"]))
        for r in made
    ]
    if view["calendars"]:
        assert "is a day of the calendar closed" in view["message"]
    if view["overlap"] == "skip":
        return skipping(schedule, runs, made, end)
    return check(schedule, runs, away, end)


def skipping(schedule: Schedule, runs: list[Run], made: list[dict[str, Any]], end: datetime) -> int:
    """A tick without a run has met one that was active: of a schedule that never fires while it has one."""
    times = sorted(run.logical_time for run in runs)
    assert len(set(times)) == len(times), "a tick made two runs"
    spans = sorted(
        (datetime.fromisoformat(r["created"]), datetime.fromisoformat(r["ended"]) if r["ended"] else end) for r in made
    )
    for (_, ended), (created, _) in pairwise(spans):
        assert ended <= created, f"{schedule.name} has two active runs"
    return 0
