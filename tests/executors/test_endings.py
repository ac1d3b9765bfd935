"""How attempts end, and the words for it; what is adopted, and what is never run twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from backend.clock import SystemClock
from backend.errors import ExecutorError
from backend.executors.sandbox import Limits, SandboxExecutor, check
from backend.executors.sandbox.folder import Folder
from backend.executors.sandbox.limits import tree
from backend.layout import Layout
from backend.run.state import Reason
from backend.spec.images import Image
from backend.spec.model import Resources
from tests.executors.conftest import Bench, status
from tests.executors.test_isolation import _runs

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(
    ("script", "reason", "code", "words"),
    [
        ("true", Reason.OK, 0, ""),
        ("exit 3", Reason.EXIT, 3, "exit 3"),
        ("nosuchcommand", Reason.EXIT, 127, "exit 127: a command was not found (see the log)"),
        ("kill -SEGV $$", Reason.SIGNAL, 139, "killed by SIGSEGV (exit 139)"),
        ("kill -KILL $$", Reason.SIGNAL, 137, "killed by SIGKILL (exit 137): perhaps the machine ran out of memory"),
    ],
)
async def test_words_for_an_end(bench: Bench, script: str, reason: Reason, code: int, words: str) -> None:
    seen, _ = await bench.run(script)
    assert (seen.reason, seen.exit_code, seen.message) == (reason, code, words)


async def test_a_program_that_is_not_there(bench: Bench) -> None:
    seen, log = await bench.run("", argv=("nosuchprogram", "-x"))
    assert (seen.reason, seen.message) == (Reason.START, "command not found: nosuchprogram")
    assert "nosuchprogram" in log


@pytest.mark.parametrize(
    ("limits", "memory", "script", "words"),
    [
        (Limits(), 64 << 20, "x = []\nwhile True: x.append(bytes(1 << 20))", "killed: memory limit 64 MiB"),
        (Limits(processes=12), None, "import subprocess, time\nfor _ in range(40): subprocess.Popen(['sleep', '60'])\n"
                                     "time.sleep(60)", "killed: more than 12 processes"),
        (Limits(cpu_time=1), None, "while True: pass", "killed: CPU time limit 1 s"),
        (Limits(file_size=1 << 20), None, "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
         "open('/tmp/x', 'wb').write(bytes(2 << 20))", "killed: file size limit 1 MiB"),
    ],
    ids=["memory", "processes", "cpu", "file"],
)  # fmt: skip
async def test_limits_say_which_they_were(
    tmp_path: Path, limits: Limits, memory: int | None, script: str, words: str
) -> None:
    bench = Bench(Layout(tmp_path / "data"), limits)
    try:
        seen, log = await bench.run(script, "python", resources=Resources(memory=memory))
        assert seen.message == words, (seen, log)
    finally:
        await bench.close()


async def test_a_fork_bomb_is_over_soon(tmp_path: Path) -> None:
    bench = Bench(Layout(tmp_path / "data"), Limits(processes=60))
    try:
        seen, _ = await bench.run("bomb() { bomb | bomb & }; bomb; sleep 60")
        assert seen.reason is Reason.PROCESSES
    finally:
        await bench.close()


def test_what_multiplies_is_not_counted_to_its_end() -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo there; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as many:
        assert many.stdout is not None
        assert many.stdout.readline() == b"there\n"
        assert (len(tree(many.pid)), len(tree(many.pid, 4))) == (9, 5)
        os.killpg(many.pid, signal.SIGKILL)


async def test_cancelling_asks_first(bench: Bench) -> None:
    key = await bench.start("trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    await bench.logged(key, "ready")
    await bench.executor.cancel(key)
    seen = await bench.ended(key)
    assert (seen.reason, seen.message) == (Reason.CANCELLED, "cancelled")
    assert "cleaned" in bench.log(key)


async def test_cancelling_reaches_every_process_in_the_end(bench: Bench) -> None:
    key = await bench.start("trap '' TERM; (setsid sleep 64.75 &); echo ready; while :; do sleep 64.75; done")
    await bench.logged(key, "ready")
    await bench.executor.cancel(key, grace=0.2)
    assert (await bench.ended(key)).reason is Reason.CANCELLED
    assert not _runs("64.75")


async def test_what_was_cancelled_before_it_began_never_begins(bench: Bench) -> None:
    spec = bench.spec("echo ran")
    await bench.executor.cancel(spec.key)
    await bench.executor.ensure(spec)
    assert (await bench.ended(spec.key)).reason is Reason.CANCELLED
    assert not (bench.folder(spec.key) / "log").exists()


async def test_asked_for_twice_it_runs_once(bench: Bench) -> None:
    spec = bench.spec("echo ran; sleep 0.3")
    for _ in range(3):
        await bench.executor.ensure(spec)
    await bench.ended(spec.key)
    await bench.executor.ensure(spec)
    assert bench.log(spec.key) == "ran\n"


async def test_another_executor_adopts_what_runs(bench: Bench) -> None:
    spec = bench.spec("echo begun; while ! test -e /tmp/go; do sleep 0.02; done; echo over; exit 7")
    await bench.executor.ensure(spec)
    await bench.logged(spec.key, "begun")
    await bench.close()  # as if its daemon were gone
    other = Bench(bench.layout, Limits())
    try:
        await other.executor.ensure(spec)
        (bench.folder(spec.key) / "tmp" / "go").touch()
        assert (await other.ended(spec.key)).exit_code == 7
        assert other.log(spec.key) == "begun\nover\n"
    finally:
        await other.close()


async def test_another_executor_learns_what_ended_meanwhile(bench: Bench) -> None:
    spec = bench.spec("echo begun; exit 5")
    await bench.executor.ensure(spec)
    await bench.close()
    async with asyncio.timeout(10):
        while "exit-code" not in (status(bench.folder(spec.key)) if bench.folder(spec.key).exists() else {}):
            await asyncio.sleep(0.01)
    other = Bench(bench.layout, Limits())
    try:
        await other.executor.ensure(spec)
        assert (await other.ended(spec.key)).exit_code == 5
        assert other.log(spec.key) == "begun\n"
    finally:
        await other.close()


async def test_a_sandbox_that_is_killed_is_lost_and_nothing_of_it_goes_on(bench: Bench) -> None:
    key = await bench.start("echo begun; exec sleep 65.25")
    await bench.logged(key, "begun")
    pid = Folder(bench.folder(key)).find()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert (await bench.ended(key)).reason is Reason.LOST
    async with asyncio.timeout(5):
        while _runs("65.25"):
            await asyncio.sleep(0.01)


async def test_a_hundred_at_once(bench: Bench) -> None:
    keys = [await bench.start(f"echo {n}; exit {n}") for n in range(100)]
    codes = [(await bench.ended(key)).exit_code for key in keys]
    assert codes == list(range(100))


async def test_an_image_that_this_machine_lacks_is_refused(bench: Bench, tmp_path: Path) -> None:
    images = {"fortran": Image("fortran", "", ("nosuchcompiler",), ".f", ("nosuchcompiler",))}
    executor = SandboxExecutor(Layout(tmp_path / "other"), SystemClock(), images=images)
    with pytest.raises(ExecutorError, match="'fortran' cannot run on this machine: this machine has no nosuchcompiler"):
        await executor.ensure(bench.spec("x", "fortran"))


async def test_an_image_that_becomes_known_later_can_be_run(bench: Bench, tmp_path: Path) -> None:
    images: dict[str, Image] = {}
    executor = SandboxExecutor(Layout(tmp_path / "other"), SystemClock(), images=images)
    with pytest.raises(ExecutorError, match="'lines' cannot run on this machine: it is not known here"):
        await executor.ensure(bench.spec("x", "lines"))
    images["lines"] = Image("lines", "", ("awk", "-f"), ".awk", ("nosuchprogram",))
    assert executor.missing_tools() == {"lines": "this machine has no nosuchprogram"}
    images["lines"] = Image("lines", "", ("awk", "-f"), ".awk", ("nosuchprogram", "awk"))
    assert executor.missing_tools() == {}
    await executor.ensure(bench.spec('BEGIN { print "run" }', "lines"))
    await executor.close()


@pytest.mark.skipif(not shutil.which("sqlite3", path="/usr/bin"), reason="this machine has no sqlite3")
async def test_a_script_of_sqlite_ends_at_its_first_error(bench: Bench) -> None:
    assert await bench.good("select 6 * 7;", "sqlite") == "42\n"
    seen, log = await bench.run("select nosuch;\nselect 2;", "sqlite")
    assert (seen.exit_code, "no such column: nosuch" in log) == (1, True)


@pytest.mark.parametrize("value", ["x" * 200_000, "a\0b"])
async def test_what_no_program_can_be_given_is_refused(bench: Bench, value: str) -> None:
    with pytest.raises(ExecutorError, match="argument or variable"):
        await bench.executor.ensure(bench.spec("true", environment={"X": value}))


async def test_what_is_left_can_be_forgotten_but_for_the_log_and_outputs(bench: Bench) -> None:
    key = await bench.start("echo said; echo kept > $KHAN_OUTPUT_out; echo gone > /tmp/x")
    await bench.ended(key)
    await bench.executor.forget(key)
    await bench.executor.forget(key)
    assert bench.log(key) == "said\n"
    assert (bench.folder(key) / "out" / "out").read_text() == "kept\n"
    assert not (bench.folder(key) / "tmp").exists()


async def test_without_a_sandbox_it_works_alike(bare: Bench) -> None:
    seen, log = await bare.run('cat "$KHAN_INPUT_raw"; echo; echo "$X"; echo r > "$KHAN_OUTPUT_out"; exit 4',
                               inputs=(bare.input("raw", "data"),), environment={"X": "it's"})  # fmt: skip
    assert (seen.exit_code, log) == (4, "data\nit's\n")
    key = await bare.start("echo ready; sleep 66.5; echo never")
    await bare.logged(key, "ready")
    await bare.executor.cancel(key, grace=5)
    assert (await bare.ended(key)).reason is Reason.CANCELLED
    assert not _runs("66.5")


def test_a_bubblewrap_that_does_not_work_is_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("KHANTUI_BWRAP", str(broken))
    with pytest.raises(ExecutorError) as caught:
        check()
    assert "Permission denied" in caught.value.message
    assert "--no-sandbox" in caught.value.hint
    monkeypatch.setenv("KHANTUI_BWRAP", str(tmp_path / "nothing"))
    with pytest.raises(ExecutorError, match="which is no program"):
        check()
