"""Files of the data folder that are damaged behind a daemon's back: each is told in words, and nothing else breaks."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.spec.bundle import address, pack
from tests.e2e.daemon import Daemon

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]

CODE = {"hello.sh": (b"echo hello\n", False), "more/words": (b"words\n", False)}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("damaged"))
    daemon.start()
    yield daemon
    try:
        assert daemon.http.get("http://khantui/healthz").status_code == 200
        assert "Traceback" not in (daemon.folder / "stderr").read_text()
    finally:
        daemon.close()


def _stage(run: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(next(s for s in run["stages"] if s["name"] == name))


def _write(path: Path, text: str) -> None:
    """As root can, also where what is published is read-only."""
    path.chmod(0o644)
    path.write_text(text)


LARGE = 'head -c 300000 /dev/zero > "$KHAN_OUTPUT_x"'
FOLDER = 'mkdir "$KHAN_OUTPUT_x"; echo one > "$KHAN_OUTPUT_x/one"; echo two > "$KHAN_OUTPUT_x/two"'
DAMAGES = {
    "gone": ('echo good > "$KHAN_OUTPUT_x"', lambda path: path.unlink(), "it is not there any more"),
    "other": ('echo good > "$KHAN_OUTPUT_x"', lambda path: _write(path, "evil\n"), "its content was changed"),
    "short": (LARGE, lambda path: _write(path, "0"), "it has 1 bytes instead of 300000"),
    "folder": (FOLDER, lambda path: (path / "two").unlink(), "it has 1 files of 4 bytes instead of 2 of 8"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_stage_does_not_read_an_artifact_that_is_not_what_was_published(daemon: Daemon, how: str) -> None:
    script, damage, words = DAMAGES[how]
    daemon.apply(
        how,
        intermediates={"x": {}, "held": {}},
        outputs={"y": {}},
        stages={
            "make": {"script": script, "outputs": ["x"]},
            "hold": {"script": WAITS, "outputs": ["held"]},
            "read": {"script": 'cp -r "$KHAN_INPUT_x" "$KHAN_OUTPUT_y"', "inputs": ["x", "held"], "outputs": ["y"]},
        },
    )
    run = daemon.run(how)
    made = daemon.until(run, lambda run: _stage(run, "make")["state"] == "succeeded")
    damage(daemon.folder / _stage(made, "make")["outputs"]["x"]["location"])
    _go(daemon, run, "held")
    ended = daemon.ended(run)
    attempt = _stage(ended, "read")["attempts"][-1]
    assert (ended["state"], attempt["reason"]) == ("failed", "missing-input"), ended
    assert words in attempt["message"]
    assert "khantui retry RUN --from STAGE" in attempt["message"]

    # what it says is what helps
    answer = daemon.http.post(f"/runs/{run}/retry", json={"from_stage": "make"})
    assert answer.status_code < 300, answer.text
    daemon.until(run, lambda run: run["state"] == "succeeded")


WAITS = 'until [ -e "$KHAN_OUTPUT_held" ]; do sleep 0.05; done'  # for the test


def _go(daemon: Daemon, run: str, name: str) -> None:
    daemon.until(run, lambda run: _stage(run, "hold")["state"] == "running")
    out = daemon.folder / "attempts" / run / "hold" / "1" / "out"
    end = time.monotonic() + 60
    while not out.is_dir():
        assert time.monotonic() < end
        time.sleep(0.02)
    (out / name).write_text("go")


def test_an_input_from_outside_that_is_damaged_is_brought_anew_for_the_next_run(daemon: Daemon, tmp_path: Path) -> None:
    source = tmp_path / "rows"
    source.write_text("1\n2\n")
    daemon.apply(
        "outside",
        inputs={"rows": {"uri": f"file://{source}"}},
        stages={"a": {"script": 'grep -q 2 "$KHAN_INPUT_rows"', "inputs": ["rows"]}},
    )
    assert daemon.ended(daemon.run("outside"))["state"] == "succeeded"
    (kept,) = (daemon.folder / "artifacts" / "inputs").iterdir()
    _write(kept, "")
    ended = daemon.ended(daemon.run("outside"))
    assert "start a new run" in ended["message"], ended
    assert daemon.ended(daemon.run("outside"))["state"] == "succeeded"
    assert kept.read_text() == "1\n2\n"


def _coded(daemon: Daemon) -> str:
    bundle = pack(CODE)
    assert daemon.http.put(f"/bundles/{address(bundle)}", content=bundle).status_code == 201
    document = {"name": "coded", "code": list(CODE), "stages": {"a": {"image": "shell", "run": ["sh", "hello.sh"]}}}
    answer = daemon.http.post("/pipelines", json={"document": json.dumps(document), "bundle": address(bundle)})
    assert answer.status_code < 300, answer.text
    return address(bundle)


@pytest.mark.parametrize("how", ["changed", "gone", "part of it is gone"])
def test_damaged_code_is_not_run_and_to_apply_it_again_heals_it(daemon: Daemon, how: str) -> None:
    folder = daemon.folder / "code" / _coded(daemon)
    assert daemon.ended(daemon.run("coded"))["state"] == "succeeded"
    daemon.stop()  # once looked at, a bundle is trusted for as long as a daemon lives
    if how == "changed":
        _write(folder / "hello.sh", "echo evil\n")
    elif how == "gone":
        shutil.rmtree(folder)
    else:
        (folder / "more" / "words").unlink()
    daemon.start()
    ended = daemon.ended(daemon.run("coded"))
    assert _stage(ended, "a")["attempts"][-1]["reason"] == "missing-input", ended
    assert "is not here, or damaged (apply the pipeline again)" in ended["message"]
    _coded(daemon)
    ended = daemon.ended(daemon.run("coded"))
    assert ended["state"] == "succeeded", ended
    assert daemon.log(ended["id"], "a") == ["hello"]


@pytest.mark.parametrize("how", ["cut off", "changed", "no archive at all"])
def test_a_damaged_archive_of_a_log_is_told_and_the_run_can_be_looked_at(daemon: Daemon, how: str) -> None:
    daemon.apply("says", stages={"a": {"script": "for n in $(seq 5000); do echo line $n; done"}})
    run = daemon.ended(daemon.run("says"))["id"]
    archive = daemon.folder / "logs" / run / "a" / "1.log.zst"
    end = time.monotonic() + 60
    while not archive.exists() or (daemon.folder / "attempts" / run / "a" / "1" / "log").exists():
        assert time.monotonic() < end, "it is not archived"
        time.sleep(0.05)
    good = archive.read_bytes()
    damaged = {
        "cut off": good[: len(good) // 2],
        "changed": good[:20] + bytes(len(good) // 3) + good[20 + len(good) // 3 :],
        "no archive at all": b"",
    }[how]
    archive.write_bytes(damaged)
    log = f"/runs/{run}/stages/a/log"
    for path in (log, f"{log}/search?q=line", f"/runs/{run}/log"):
        answer = daemon.http.get(path)
        assert answer.status_code != 500, (path, answer.text)
    answer = daemon.http.get(log)
    assert answer.status_code >= 400, answer.text
    assert "is damaged" in answer.json()["title"], answer.text
    assert daemon.status(run)["state"] == "succeeded"
    archive.write_bytes(good)
    assert daemon.http.get(log, params={"limit": 5000}).json()["lines"][-1]["text"] == "line 5000"


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\0" * 4096])
def test_the_index_of_a_growing_log_is_made_anew(daemon: Daemon, content: bytes) -> None:
    daemon.apply(
        "grows",
        intermediates={"held": {}},
        stages={"hold": {"script": f"seq 100; {WAITS}; echo end", "outputs": ["held"]}},
    )
    run = daemon.run("grows")
    log = daemon.folder / "attempts" / run / "hold" / "1" / "log"
    end = time.monotonic() + 60
    while not log.exists() or log.stat().st_size < 292:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert daemon.log(run, "hold")[-1] == "100"
    (log.parent / "log.idx").write_bytes(content)
    _go(daemon, run, "held")
    assert daemon.ended(run)["state"] == "succeeded"
    answer = daemon.http.get(f"/runs/{run}/stages/hold/log", params={"limit": 200}).json()
    assert [line["text"] for line in answer["lines"]] == [*map(str, range(1, 101)), "end"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe{", b'{"child-pid": "x"}\n[]\n'])
def test_an_attempt_whose_status_is_damaged_while_no_daemon_is_there_is_lost_and_tried_again(
    daemon: Daemon, content: bytes
) -> None:
    daemon.apply(
        "lost",
        intermediates={"held": {}},
        stages={"hold": {"script": WAITS, "outputs": ["held"], "retries": {"limit": 1, "delay": "0s"}}},
    )
    run = daemon.run("lost")
    _go(daemon, run, "nothing")
    daemon.until(run, lambda run: _stage(run, "hold")["attempts"][0]["state"] == "running")
    daemon.kill()
    folder = daemon.folder / "attempts" / run / "hold" / "1"
    (folder / "out" / "held").write_text("go")
    end = time.monotonic() + 60
    while b"exit-code" not in (folder / "status.json").read_bytes():
        assert time.monotonic() < end
        time.sleep(0.02)
    (folder / "status.json").write_bytes(content)
    daemon.start()
    found = daemon.until(run, lambda run: len(_stage(run, "hold")["attempts"]) == 2)
    assert _stage(found, "hold")["attempts"][0]["reason"] == "lost"
    second = folder.with_name("2") / "out"
    while not second.is_dir():
        assert time.monotonic() < end
        time.sleep(0.02)
    (second / "held").write_text("go")
    assert daemon.ended(run)["state"] == "succeeded"
