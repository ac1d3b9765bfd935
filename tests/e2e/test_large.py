"""Large artifacts and loud stages on a real daemon, which must neither copy them nor hold them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon import Daemon

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]

SIZE = 200 << 20  # bytes of an artifact, and of a log
ROOM = 64 << 20  # bytes that the daemon may need for it
RATE, STAGES, SECONDS = 10_000, 20, 2


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    try:
        daemon.start("--slots", str(STAGES))
        yield daemon
    finally:
        daemon.close()


class Memory:
    """The most memory that the daemon has had since this was made, beyond what it had then."""

    def __init__(self, daemon: Daemon) -> None:
        assert daemon.process is not None
        self._proc = Path("/proc", str(daemon.process.pid))
        (self._proc / "clear_refs").write_text("5")  # the peak begins anew
        self._before = self._bytes("VmRSS")

    def grown(self) -> int:
        return self._bytes("VmHWM") - self._before

    def _bytes(self, name: str) -> int:
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def done(daemon: Daemon, name: str) -> dict[str, Any]:
    run = daemon.until(daemon.run(name), lambda r: r["ended"] is not None)
    assert run["state"] == "succeeded", (run["message"], [(s["name"], s["message"]) for s in run["stages"]])
    return run


def get(daemon: Daemon, run: dict[str, Any], stage: str, path: str, **query: Any) -> dict[str, Any]:
    answer = daemon.http.get(f"/runs/{run['id']}/stages/{stage}/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_large_artifacts_are_neither_copied_between_stages_nor_held_in_memory(daemon: Daemon, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.truncate(SIZE)
        file.seek(SIZE - 3)
        file.write(b"end")
    daemon.apply(
        "large",
        inputs={"big": {"uri": f"file://{source}"}},
        intermediates={"mid": {}},
        outputs={"out": {"uri": f"file://{target}"}},
        stages={
            "a": {"script": 'cp "$KHAN_INPUT_big" "$KHAN_OUTPUT_mid"; ls -i "$KHAN_OUTPUT_mid"',
                  "inputs": ["big"], "outputs": ["mid"]},
            "b": {"script": 'ls -i $KHAN_INPUT_mid; tail -c 3 $KHAN_INPUT_mid; cp $KHAN_INPUT_mid $KHAN_OUTPUT_out',
                  "inputs": ["mid"], "outputs": ["out"]},
        },
    )  # fmt: skip
    memory = Memory(daemon)
    run = done(daemon, "large")
    assert memory.grown() < ROOM
    (written,), (read, end) = daemon.log(run["id"], "a"), daemon.log(run["id"], "b")
    assert (written.split()[0], end) == (read.split()[0], "end")  # one file, seen by both
    assert target.stat().st_size == SIZE


def test_twenty_stages_that_write_ten_thousand_lines_a_second_lose_none(daemon: Daemon) -> None:
    script = f"""
import sys, time
began, at = time.time(), 0
while at < {RATE * SECONDS}:
    due = min(int((time.time() - began) * {RATE}), {RATE * SECONDS})
    sys.stdout.write("".join(f"line {{n:08}} of a stage that says much\\n" for n in range(at, due)))
    sys.stdout.flush()
    at = due
    time.sleep(0.05)
"""
    stages = {"w": {"image": "python", "script": script, "each": {"N": list(map(str, range(STAGES)))}}}
    daemon.apply("loud", stages=stages)
    memory = Memory(daemon)
    run = done(daemon, "loud")
    assert memory.grown() < ROOM
    for stage in run["stages"]:
        page = get(daemon, run, stage["name"], "log", tail=1)
        assert (page["total_lines"], page["lines"][0]["text"][:13]) == (RATE * SECONDS, f"line {RATE * SECONDS - 1:08}")


def test_a_large_log_is_searched_and_archived_piece_by_piece(daemon: Daemon) -> None:
    script = f"""
import sys
block = "".join(f"2026-03-01 07:00:00 INFO reading a batch of rows id={{n}}\\n" for n in range(20000)).encode()
for _ in range({SIZE} // len(block)):
    sys.stdout.buffer.write(block)
sys.stdout.buffer.write(b"ERROR the needle\\nlast\\n")
"""
    stages = {"w": {"image": "python", "script": script}, "x": {"script": "true", "after": ["w"]}}
    daemon.apply("talk", stages=stages)
    memory = Memory(daemon)
    run = done(daemon, "talk")
    while True:  # first as it is, then as it is archived
        (match,) = get(daemon, run, "w", "log/search", text="needle")["matches"]
        assert match["line"]["text"] == "ERROR the needle"
        page = get(daemon, run, "w", "log", tail=2)
        assert (page["first_error"] or match["line"]["number"]) == match["line"]["number"]
        if page["archived"]:
            break
    assert memory.grown() < ROOM


def test_whatever_bytes_a_stage_writes_are_shown_found_and_kept(daemon: Daemon) -> None:
    script = r"""
import sys
out = sys.stdout.buffer
out.write(b"\xff\xfe bad \xc3( utf-8 \0 \x1b[31mred\n")
out.write(b"x" * 1_000_000 + b" end of a long line\n")
for percent in range(101):
    out.write(b"\rprogress %d%%" % percent)
out.write(b"\nno newline at the end")
"""
    daemon.apply("odd", stages={"w": {"image": "python", "script": script}})
    run = done(daemon, "odd")
    while not (page := get(daemon, run, "w", "log"))["complete"]:  # a last line without an end counts only then
        pass
    lines = page["lines"]
    assert [line["text"][:40] for line in lines] == [
        "\\xff\\xfe bad \\xc3( utf-8 \0 \x1b[31mred",
        "x" * 40,
        "progress 100%",  # what a terminal would show in the end
        "no newline at the end",
    ]
    assert lines[1]["length"] == 1_000_019
    for text, number in (("end of a long", 2), ("progress 57%", 3), ("at the end", 4)):
        assert [m["line"]["number"] for m in get(daemon, run, "w", "log/search", text=text)["matches"]] == [number]
    raw = daemon.http.get(f"/runs/{run['id']}/stages/w/log/raw").content
    assert (raw[:2], raw.count(b"\r"), raw[-7:]) == (b"\xff\xfe", 101, b"the end")
