"""An etcd of our own as a child process: it starts, comes back, ends, and holds its folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from backend.errors import StoreError, StoreUnavailable
from backend.store.base import Put
from backend.store.embedded import EmbeddedEtcd
from backend.store.etcd import EtcdStore
from backend.store.server_binary import EtcdBinary

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


@pytest.fixture
async def etcd(folder: Path, etcd_binary: EtcdBinary) -> AsyncIterator[EmbeddedEtcd]:
    etcd = EmbeddedEtcd(folder, etcd_binary)
    yield etcd
    await etcd.stop()


@pytest.fixture
async def store(etcd: EmbeddedEtcd) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([etcd.target])
    yield store
    await store.close()


def pid(folder: Path) -> int:
    """Of the etcd that runs on it."""
    return int((folder / "pid").read_text())


def runs(number: int) -> bool:
    """Whether there is such a process, and not only its remains."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.01)


async def test_it_starts_and_answers_and_nobody_else_can_reach_it(
    etcd: EmbeddedEtcd, store: EtcdStore, folder: Path
) -> None:
    await etcd.start()
    await etcd.ready()
    assert await store.commit([], [Put("a", b"1")])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    inodes = {m[1] for fd in Path(f"/proc/{pid(folder)}/fd").iterdir() if (m := _socket(fd))}
    for name in ("tcp", "tcp6"):
        table = Path(f"/proc/net/{name}").read_text().splitlines()
        assert not [line for line in table if line.split()[9] in inodes]


def _socket(descriptor: Path) -> re.Match[str] | None:
    try:
        return re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink()))
    except OSError:
        return None


async def test_what_the_environment_says_of_etcd_is_not_for_this_one(
    etcd: EmbeddedEtcd, store: EtcdStore, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("ETCD_DATA_DIR", str(folder / "elsewhere"))
    monkeypatch.setenv("ETCD_INITIAL_CLUSTER_STATE", "existing")
    await etcd.start()
    await etcd.ready()
    assert await store.commit([], [Put("a", b"1")])
    assert not (folder / "elsewhere").exists()


async def test_one_that_is_killed_comes_back_with_its_data(etcd: EmbeddedEtcd, store: EtcdStore, folder: Path) -> None:
    await etcd.start()
    await etcd.ready()
    await store.commit([], [Put("a", b"1")])
    before = pid(folder)
    os.kill(before, signal.SIGKILL)
    await until(lambda: etcd.restarts == 1 and pid(folder) != before)
    found = await store.get("a")
    assert found is not None
    assert found.value == b"1"


async def test_stopped_it_is_gone_and_leaves_the_folder_to_the_next(
    etcd: EmbeddedEtcd, store: EtcdStore, folder: Path, etcd_binary: EtcdBinary
) -> None:
    await etcd.start()
    await etcd.ready()
    await store.commit([], [Put("a", b"1")])
    process = pid(folder)
    await etcd.stop()
    assert not runs(process)
    assert not (folder / "pid").exists()
    await etcd.stop()  # a second time is no error
    again = EmbeddedEtcd(folder, etcd_binary)
    await again.start()
    try:
        assert await store.get("a") is not None
    finally:
        await again.stop()


async def test_a_second_one_on_the_same_folder_is_refused_and_the_first_goes_on(
    etcd: EmbeddedEtcd, store: EtcdStore, folder: Path, etcd_binary: EtcdBinary
) -> None:
    await etcd.start()
    await etcd.ready()
    await store.commit([], [Put("a", b"1")])
    process = pid(folder)
    second = EmbeddedEtcd(folder, etcd_binary)
    with pytest.raises(StoreError, match=f"runs on {folder} already"):
        await second.start()
    await second.stop()
    assert runs(process)
    assert pid(folder) == process
    assert await store.get("a") is not None


@contextlib.contextmanager
def daemon(folder: Path, binary: EtcdBinary) -> Iterator[subprocess.Popen[bytes]]:
    """Another process with an etcd on the folder, which is ready."""
    program = """if True:
        import asyncio, sys
        from pathlib import Path
        from backend.store.embedded import EmbeddedEtcd
        from backend.store.server_binary import EtcdBinary
        async def main():
            etcd = EmbeddedEtcd(Path(sys.argv[1]), EtcdBinary(Path(sys.argv[2]), (3, 6, 16)))
            await etcd.start()
            await etcd.ready()
            print("ready", flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())"""
    argv = [sys.executable, "-c", program, str(folder), str(binary.path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_it_does_not_outlive_a_daemon_that_is_killed(folder: Path, etcd_binary: EtcdBinary) -> None:
    with daemon(folder, etcd_binary) as process:
        number = pid(folder)
        assert runs(number)
        process.kill()
        await until(lambda: not runs(number))


async def test_the_folder_of_a_daemon_that_was_killed_can_be_used_at_once(
    etcd: EmbeddedEtcd, store: EtcdStore, folder: Path, etcd_binary: EtcdBinary
) -> None:
    with daemon(folder, etcd_binary) as process:
        assert await store.commit([], [Put("a", b"1")])
        with pytest.raises(StoreError, match="already"):
            await etcd.start()
        process.kill()
        process.wait()
        await etcd.start()
        await etcd.ready()
        assert await store.get("a") is not None
    assert etcd.restarts == 0


@contextlib.contextmanager
def noted(folder: Path, *argv: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is noted as the folder's etcd."""
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log) as process,
    ):
        (folder / "pid").write_text(str(process.pid))
        try:
            yield process
        finally:
            process.kill()


async def test_an_etcd_that_was_left_behind_all_the_same_is_ended(
    etcd: EmbeddedEtcd, store: EtcdStore, folder: Path, etcd_binary: EtcdBinary
) -> None:
    await etcd.start()
    await store.commit([], [Put("a", b"1")])
    await etcd.stop()
    urls = ("client-urls=unix://c.sock:0", "peer-urls=unix://p.sock:0")
    flags = ["--data-dir=data", *(f"--listen-{url}" for url in urls), f"--advertise-{urls[0]}"]
    with noted(folder, etcd_binary.path, *flags) as left:
        assert await store.get("a") is not None
        await etcd.start()
        assert left.wait(10) == -signal.SIGKILL
        assert await store.get("a") is not None
    assert etcd.restarts == 0


async def test_a_process_that_took_over_the_number_of_a_dead_etcd_is_left_alone(
    etcd: EmbeddedEtcd, folder: Path
) -> None:
    folder.mkdir()
    with noted(folder, "sleep", "60") as other:
        await etcd.start()
        await etcd.ready()
        assert other.poll() is None


@pytest.mark.parametrize("made", ["data/member", "data/member/wal"])
async def test_one_that_is_killed_at_birth_is_born_again(
    etcd: EmbeddedEtcd, store: EtcdStore, folder: Path, made: str
) -> None:
    """Data that were begun then may be such that none ever starts on them."""
    await etcd.start()
    await until((folder / made).exists)
    os.kill(pid(folder), signal.SIGKILL)
    await etcd.ready()
    assert (folder / "data.unfinished").exists()
    revision = await store.commit([], [Put("a", b"1")])
    os.kill(pid(folder), signal.SIGKILL)  # from now on it keeps what it has
    found = await store.get("a")
    assert found is not None
    assert found.modified == revision


async def test_nobody_can_write_into_an_etcd_that_may_be_born_again(etcd: EmbeddedEtcd, folder: Path) -> None:
    await etcd.start()
    while (folder / "fresh").exists():
        assert not (folder / "c.sock:0").exists()
        await asyncio.sleep(0)
    await etcd.ready()


async def test_data_that_were_put_there_are_not_taken_for_unfinished(
    etcd: EmbeddedEtcd, store: EtcdStore, folder: Path, etcd_binary: EtcdBinary
) -> None:
    await etcd.start()
    await store.commit([], [Put("a", b"1")])
    await etcd.stop()
    other = folder.with_name("other")
    other.mkdir()
    shutil.copytree(folder / "data", other / "data")
    restored = EmbeddedEtcd(other, etcd_binary)
    await restored.start()
    copy = EtcdStore([restored.target])
    assert await copy.get("a") is not None
    await copy.close()
    await restored.stop()


async def test_sockets_and_notes_that_a_crash_has_left_do_not_matter(
    etcd: EmbeddedEtcd, store: EtcdStore, folder: Path
) -> None:
    folder.mkdir()
    for name in ("c.sock:0", "p.sock:0"):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(folder / name))
    (folder / "pid").write_text("")
    await etcd.start()
    await etcd.ready()
    assert await store.commit([], [Put("a", b"1")])
    assert etcd.restarts == 0


async def test_a_path_too_long_for_a_socket_is_reached_by_a_short_link(
    folder: Path, etcd_binary: EtcdBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = folder.parent / "run"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    etcd = EmbeddedEtcd(folder / ("long" * 30), etcd_binary)
    await etcd.start()
    store = EtcdStore([etcd.target])
    assert await store.commit([], [Put("a", b"1")])
    assert len(etcd.target) < 100
    await store.close()
    await etcd.stop()
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize(
    ("wrote", "program", "fits"),
    [
        ((3, 6, 1), (3, 6, 16), True),
        ((3, 6, 16), (3, 6, 1), True),
        ((3, 5, 21), (3, 6, 16), True),
        ((3, 4, 23), (3, 6, 16), False),
        ((3, 6, 16), (3, 5, 21), False),
        ((2, 6, 0), (3, 6, 0), False),
    ],
)
async def test_data_of_a_version_that_does_not_fit_are_left_alone(
    folder: Path,
    etcd_binary: EtcdBinary,
    wrote: tuple[int, int, int],
    program: tuple[int, int, int],
    fits: bool,
) -> None:
    folder.mkdir()
    stamp = folder / "etcd.version"
    stamp.write_text(".".join(map(str, wrote)))
    etcd = EmbeddedEtcd(folder, EtcdBinary(etcd_binary.path, program))
    if fits:
        await etcd.start()
        await etcd.stop()
        assert stamp.read_text() == ".".join(map(str, program))
    else:
        with pytest.raises(StoreError, match=r"were written by etcd .*; .* is") as error:
            await etcd.start()
        assert "KHANTUI_ETCD" in error.value.hint
        assert not (folder / "data").exists()
        assert stamp.read_text() == ".".join(map(str, wrote))
    with contextlib.closing(os.fdopen(os.open(folder / "lock", os.O_RDWR))):  # and the folder is free again
        await EmbeddedEtcd(folder, EtcdBinary(etcd_binary.path, wrote)).stop()


async def test_a_version_note_that_makes_no_sense_is_shown(etcd: EmbeddedEtcd, folder: Path) -> None:
    folder.mkdir()
    (folder / "etcd.version").write_text("three")
    with pytest.raises(StoreError, match="'three'"):
        await etcd.start()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("#!/bin/sh\necho no such luck\nexit 3\n", "no such luck"),
        ("\x7fELF, they say", "cannot be run"),
        (None, "cannot be run"),
    ],
)
async def test_a_program_that_does_not_start_is_given_up_with_its_last_words(
    folder: Path, program: str | None, said: str
) -> None:
    path = folder.parent / "etcd-program"
    if program is not None:
        path.write_text(program)
        path.chmod(0o700)
    etcd = EmbeddedEtcd(folder, EtcdBinary(path, (3, 6, 16)))
    await etcd.start()
    with pytest.raises(StoreUnavailable, match=said) as error:
        await etcd.ready()
    assert "etcd.log" in error.value.hint
    await etcd.stop()


async def test_broken_data_are_reported(etcd: EmbeddedEtcd, folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "member").write_text("not a folder")
    await etcd.start()
    with pytest.raises(StoreUnavailable, match="not a directory"):
        await etcd.ready()
