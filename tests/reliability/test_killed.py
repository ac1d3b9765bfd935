"""`kill -9` at random moments of a daemon under load, and of its etcd: every run ends as it would have.

What comes of it is printed, with the seed that made it so: KHANTUI_SEED makes it so again.
"""

from __future__ import annotations

import os
import random
import select
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon
from tests.reliability.load import Load, left_behind

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]


@pytest.fixture
def chance() -> random.Random:
    """Chance that can be repeated."""
    seed = os.environ.get("KHANTUI_SEED") or str(time.time_ns())
    _say(f"KHANTUI_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    try:
        yield daemon
    finally:
        daemon.close()


def _say(text: str) -> None:
    print(text, file=sys.__stderr__, flush=True)


def _torture(daemon: Daemon, load: Load, chance: random.Random, daemons: int, etcds: int) -> Counter[str]:
    """Kill so many of each, in any order, while the pipelines run: what was done."""
    faults = ["daemon"] * daemons + ["etcd"] * etcds
    chance.shuffle(faults)
    done: Counter[str] = Counter()
    daemon.start("--slots", "200")
    load.apply()
    for fault in faults:
        load.keep_up(120)
        if fault == "etcd":
            time.sleep(chance.uniform(0, 2))  # any moment will do: this is the fault, not a wait
            daemon.kill_etcd()
        else:
            time.sleep(chance.uniform(0, 2))
            daemon.kill()
            while chance.random() < 0.2:  # and once more, while it starts
                daemon.spawn("--slots", "200")
                assert daemon.process is not None
                assert daemon.process.stdout is not None
                select.select([daemon.process.stdout], [], [], chance.uniform(0, 2))
                daemon.kill()
                done["daemon as it starts"] += 1
            daemon.start("--slots", "200")
        done[fault] += 1
        _say(f"{sum(done.values())}: {dict(done)}, {len(load.runs)} runs so far")
    return done


def _hold(daemon: Daemon, load: Load, patience: float) -> Counter[str]:
    """Wait for the end of everything, and compare it with what it would have been: what was compared."""
    load.settle(patience)
    seen = load.check()
    assert daemon.stop() == 0
    assert left_behind(load.mark, daemon.folder) == []
    return seen


def test_a_daemon_and_its_etcd_are_killed_while_pipelines_run(daemon: Daemon, chance: random.Random) -> None:
    load = Load(daemon, 6, rounds=4)
    _torture(daemon, load, chance, daemons=2, etcds=2)
    seen = _hold(daemon, load, 60)
    assert seen["runs"] >= 6


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
def test_fifty_pipelines_fifty_kills_of_the_daemon_and_twenty_of_etcd(daemon: Daemon, chance: random.Random) -> None:
    load = Load(daemon, 50, rounds=12)
    began = time.monotonic()
    done = _torture(daemon, load, chance, daemons=50, etcds=20)
    seen = _hold(daemon, load, 300)
    _say(f"killed {dict(done)} in {time.monotonic() - began:.0f} s; compared {dict(seen)}: nothing lost, nothing twice")
    assert seen["runs"] >= 50
