"""`khantui daemon backup` and `restore`, as a user calls them, of a daemon that has run pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "d").mkdir()
    daemon = Daemon(tmp_path / "d")
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()


def test_a_state_that_was_saved_while_a_run_was_under_way_is_restored_and_the_run_ends(
    daemon: Daemon, tmp_path: Path
) -> None:
    khantui, backup = Program(daemon.folder), str(tmp_path / "backup.db")
    daemon.apply("early", stages={"a": {"script": "echo done"}})
    daemon.apply("waits", stages={"a": {"script": "echo begun; sleep 3; echo finished"}})
    ended, waiting = daemon.run("early"), daemon.run("waits")
    assert daemon.ended(ended)["state"] == "succeeded"
    daemon.until(waiting, lambda run: run["stages"][0]["state"] == "running")
    saved = khantui("daemon", "backup", backup)
    assert saved.code == 0, saved
    daemon.apply("late", stages={"a": {"script": "echo late"}})
    assert daemon.ended(waiting)["state"] == "succeeded"

    refused = khantui("daemon", "restore", backup)
    assert refused.code == 1
    assert "another daemon uses" in refused.err
    daemon.stop()
    restored = khantui("daemon", "restore", backup)
    assert restored.code == 0, restored
    assert "what was there before is in" in restored.out
    daemon.start()

    assert sorted(khantui("pipelines", "-o", "name").out.split()) == ["early", "waits"]
    assert daemon.status(ended)["state"] == "succeeded"
    assert daemon.log(ended, "a") == ["done"]
    # the run is taken up where the backup has it; what its stage did since is found, and is not done again
    assert daemon.ended(waiting)["state"] == "succeeded"
    assert daemon.log(waiting, "a") == ["begun", "finished"]
    again = daemon.run("early")
    assert daemon.ended(again)["state"] == "succeeded"
