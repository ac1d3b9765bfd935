"""A disk that is really full: a small file system below the data folder. Stages fail in words, nothing else breaks.

Taking part of a file system away needs the right to mount, which the tests have as root, elsewhere they are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.spec.bundle import address, pack
from tests.e2e.daemon import Daemon

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd, pytest.mark.timeout(300)]

LARGE = "yes | head -c 20000000 > $KHAN_OUTPUT_o || exit 9"


def _mount(place: Path, size: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(place)],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("this user may not mount a small file system")


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


def _fill(place: Path, leave: int = 0) -> Path:
    """Use up all the room of a file system but for so many bytes: the file that does."""
    ballast = place / "ballast"
    room = os.statvfs(place)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        left = room.f_bavail * room.f_frsize - leave
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 16)))
    return ballast


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon whose attempts' folder is small; its etcd has room."""
    daemon = Daemon(tmp_path)
    for name in ("attempts", "logs", "code"):
        _mount(tmp_path / name, "8m")
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()
        for name in ("attempts", "logs", "code"):
            _unmount(tmp_path / name)


def _attempt(run: dict[str, Any], stage: str = "a") -> dict[str, Any]:
    return dict(next(s for s in run["stages"] if s["name"] == stage)["attempts"][-1])


def test_a_stage_that_writes_more_than_there_is_fails_in_words_and_others_run_later(daemon: Daemon) -> None:
    daemon.apply("loud", stages={"a": {"script": "echo begun; yes | head -c 20000000 || exit 9"}})
    daemon.apply("large", outputs={"o": {}}, stages={"a": {"script": LARGE,
                                                          "outputs": ["o"]}})  # fmt: skip
    daemon.apply("small", stages={"a": {"script": "echo small"}})
    run = daemon.ended(daemon.run("loud"))
    assert run["state"] == "failed", run
    assert "the disk of the data folder is full" in _attempt(run)["message"], run
    assert daemon.log(run["id"], "a")[:2] == ["begun", "y"]

    # where nothing can be started, that is said as well
    live = daemon.folder / "attempts" / run["id"] / "a" / "1" / "log"
    end = time.monotonic() + 60
    while live.exists():  # it is archived, and gives room
        assert time.monotonic() < end
        time.sleep(0.1)
    ballast = _fill(daemon.folder / "attempts")
    run = daemon.ended(daemon.run("small"))
    assert run["state"] == "failed", run
    assert "No space left" in _attempt(run)["message"] or "full" in _attempt(run)["message"], run
    assert daemon.http.get("http://khantui/healthz").status_code == 200

    # with room again, everything goes on by itself
    ballast.unlink()
    again = daemon.ended(daemon.run("small"))
    assert again["state"] == "succeeded", again
    assert daemon.log(again["id"], "a") == ["small"]
    run = daemon.ended(daemon.run("large"))
    assert run["state"] == "failed", run
    assert "the disk of the data folder is full" in _attempt(run)["message"], run


def test_a_stage_that_finds_no_room_to_begin_is_tried_again_as_its_retries_say(daemon: Daemon) -> None:
    ballast = _fill(daemon.folder / "attempts")
    daemon.apply("again", stages={"a": {"script": "echo here", "retries": {"limit": 1, "delay": "5s"}}})
    run = daemon.run("again")
    found = daemon.until(run, lambda run: run["stages"][0]["state"] == "retrying")
    ballast.unlink()
    first = _attempt(found)
    assert first["reason"] == "start-failed"
    assert "No space left" in first["message"]
    assert "make room" in first["message"]
    assert daemon.ended(run)["state"] == "succeeded"


def test_outputs_need_no_room_to_be_published_and_code_that_finds_none_is_refused(daemon: Daemon) -> None:
    daemon.apply("tiny", outputs={"o": {}}, stages={"a": {"script": "sleep 1; exec 3> $KHAN_OUTPUT_o",
                                                          "outputs": ["o"]}})  # fmt: skip
    run = daemon.run("tiny")
    daemon.until(run, lambda run: bool(run["stages"][0]["attempts"]))
    assert daemon.ended(run)["state"] == "succeeded"

    place = daemon.folder / "code"
    bundle = pack({"a.py": (b"#" * 3_000_000, False)})
    ballast = _fill(place, 1 << 20)
    answer = daemon.http.put(f"/bundles/{address(bundle)}", content=bundle)
    assert (answer.status_code, answer.json()["code"]) == (507, "disk-full"), answer.text
    assert [p.name for p in place.iterdir()] == ["ballast"]
    assert daemon.http.head(f"/bundles/{address(bundle)}").status_code == 404
    ballast.unlink()
    assert daemon.http.put(f"/bundles/{address(bundle)}", content=bundle).status_code == 201


def test_a_log_that_cannot_be_archived_stays_and_is_archived_when_there_is_room(daemon: Daemon) -> None:
    ballast = _fill(daemon.folder / "logs")
    daemon.apply("says", stages={"a": {"script": "for n in $(seq 2000); do echo line $n; done"}})
    run = daemon.ended(daemon.run("says"))
    assert run["state"] == "succeeded", run
    assert (
        daemon.http.get(f"/runs/{run['id']}/stages/a/log", params={"limit": 5000}).json()["lines"][-1]["number"] == 2000
    )
    live = daemon.folder / "attempts" / run["id"] / "a" / "1" / "log"
    time.sleep(3)  # longer than archiving waits: it is to fail
    assert live.exists()
    ballast.unlink()
    end = time.monotonic() + 90
    while live.exists():
        assert time.monotonic() < end, "it is not archived"
        time.sleep(0.1)
    assert (
        daemon.http.get(f"/runs/{run['id']}/stages/a/log", params={"limit": 5000}).json()["lines"][-1]["number"] == 2000
    )


def _apply_large(daemon: Daemon) -> None:
    document = {"name": "p", "description": f"{time.monotonic()}" + "x" * 1_000_000}
    document |= {"stages": {"a": {"image": "shell", "script": "true"}}}
    answer = daemon.http.post("/pipelines", json={"document": json.dumps(document)}, timeout=90)
    assert answer.status_code in (200, 201, 503), answer.text


def _until(daemon: Daemon, what: Callable[[dict[str, str]], bool], meanwhile: Callable[[], None]) -> None:
    end = time.monotonic() + 90
    while not what(said := daemon.http.get("http://khantui/healthz").json()):
        assert time.monotonic() < end, said
        meanwhile()
        time.sleep(0.2)


def test_the_whole_data_folder_is_full_and_then_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    _mount(folder, "300m")
    daemon = Daemon(folder, tmp_path / "api.sock")
    try:
        daemon.start("--socket", str(daemon.socket))
        daemon.apply("waits", stages={"a": {"script": "echo begun; sleep 3; echo done"}})
        run = daemon.run("waits")
        daemon.until(run, lambda r: r["stages"][0]["state"] == "running")
        ballast = _fill(folder)
        # changes are made or refused, and soon refused with the reason; the daemon lives
        _until(daemon, lambda said: "is full" in said.get("message", ""), lambda: _apply_large(daemon))
        assert daemon.process is not None
        assert daemon.process.poll() is None
        ballast.unlink()
        _until(daemon, lambda said: said["store"] == "ok", lambda: None)
        ended = daemon.ended(run)  # its stage has ended while nothing could be written down
        assert (ended["state"], [len(s["attempts"]) for s in ended["stages"]]) == ("succeeded", [1]), ended
        assert daemon.log(run, "a") == ["begun", "done"]
        assert daemon.ended(daemon.run("waits"), 60)["state"] == "succeeded"
    finally:
        daemon.close()
        _unmount(folder)
