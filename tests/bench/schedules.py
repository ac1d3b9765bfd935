"""Ten thousand schedules: what they cost while nothing is due, and how long after its time a tick's run starts."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.bench.engine import Daemon, daemon
from tests.bench.gauges import etcd_of, resident, spent
from tests.bench.workloads import document

SCHEDULES = 10_000
QUIET = 30.0  # seconds over which the idle daemon is watched
TICKS = 100
APART = timedelta(milliseconds=100)
BURST = 200  # ticks of one moment
AHEAD = timedelta(seconds=10)  # until the first of them
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "America/Santiago")


def measure(repeats: int = 3) -> Iterator[dict[str, Any]]:
    """One result a workload."""
    cores = os.cpu_count() or 2
    with daemon(slots=4 * cores) as engine:
        engine.apply(document("tick", [("s", [])]))
        began = time.perf_counter()
        _make(engine, [_yearly(number) for number in range(SCHEDULES)])
        took = time.perf_counter() - began
        yield _result("schedules-made", took, took, {"per_stage_ms": round(took * 1000 / SCHEDULES, 2)})
        yield _idle(engine)
        for repeat in range(repeats):
            yield _late(engine, f"ticks-{repeat}", [n * APART for n in range(TICKS)])
        yield _late(engine, "ticks-at-once", [timedelta()] * BURST)


def _yearly(number: int) -> tuple[str, dict[str, Any]]:
    """Once a year, half a year away: it has an alarm that does not ring."""
    day = datetime.now(UTC) + timedelta(days=150 + number % 60)
    cron = f"{number % 60} {number // 60 % 24} {min(day.day, 28)} {day.month} *"
    return f"y{number}", {"pipeline": "tick", "kind": "cron", "cron": [cron], "zone": ZONES[number % len(ZONES)]}


def _make(engine: Daemon, schedules: list[tuple[str, dict[str, Any]]]) -> None:
    def put(each: tuple[str, dict[str, Any]]) -> None:
        engine.http.put(f"/schedules/{each[0]}", json=each[1]).raise_for_status()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, schedules))


def _idle(engine: Daemon) -> dict[str, Any]:
    """The share of a core that the daemon takes, with its etcd and without."""
    etcd = etcd_of(engine.process.pid)
    time.sleep(5)
    before, others = spent(engine.process.pid), spent(etcd)
    began = time.perf_counter()
    time.sleep(QUIET)
    wall = time.perf_counter() - began
    own, theirs = spent(engine.process.pid) - before, spent(etcd) - others
    more = {"core_percent": round(100 * own / wall, 2), "etcd_percent": round(100 * theirs / wall, 2)}
    return _result("schedules-idle", own, own, more | {"resident_mib": resident(engine.process.pid)})


def _late(engine: Daemon, name: str, offsets: list[timedelta]) -> dict[str, Any]:
    """How late the runs start, against how late a bare process wakes at the same moments."""
    first = datetime.now(UTC) + AHEAD
    moments = [first + offset for offset in offsets]
    bodies = [{"pipeline": "tick", "kind": "once", "at": moment.isoformat()} for moment in moments]
    _make(engine, [(f"{name}-{number}", body) for number, body in enumerate(bodies)])
    slack = (first - datetime.now(UTC)).total_seconds()
    if slack < 0:
        raise SystemExit(f"the schedules were made {-slack:.1f} s too late: this machine is too busy")
    bare = [_wake(moment) for moment in moments]
    late = [_started(engine, f"{name}-{number}", moment) for number, moment in enumerate(moments)]
    floor = statistics.median(bare)
    more = {"per_stage_ms": round(statistics.median(late) * 1000, 2), "worst_s": round(max(late), 4), "lost": 0}
    return _result(name, statistics.median(late), floor, more | {"samples": [round(v, 4) for v in late]})


def _wake(moment: datetime) -> float:
    """Seconds after `moment` at which this process wakes, asleep until then."""
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
    return (datetime.now(UTC) - moment).total_seconds()


def _started(engine: Daemon, name: str, moment: datetime) -> float:
    """Seconds after its moment at which a schedule's run had started."""
    while True:
        schedule = engine.http.get(f"/schedules/{name}").raise_for_status().json()
        if schedule["last_run"] and (started := engine.run(schedule["last_run"])["started"]):
            return (datetime.fromisoformat(started) - moment).total_seconds()
        if datetime.now(UTC) - moment > timedelta(seconds=60):
            raise SystemExit(f"{name} made no run within a minute: {schedule['message']}")
        time.sleep(0.05)


def _result(workload: str, wall: float, floor: float, more: dict[str, Any]) -> dict[str, Any]:
    result = {"workload": workload, "wall_s": round(wall, 4), "floor_s": round(floor, 4)}
    return result | {"floor_ratio": round(wall / floor, 2) if floor > 0 else 0.0} | more
