"""Secrets in the sandbox: the stage has them, and nobody else, nowhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.accounts.grant import GivenSecret, Grant
from backend.errors import ExecutorError
from tests.executors.conftest import Bench

pytestmark = pytest.mark.sandbox

VALUE = "s3cr3t $HOME `x` \"'\\ ünï\n and more"
GRANT = Grant(
    secrets=(
        GivenSecret("token", "v1", VALUE.encode(), env="TOKEN"),
        GivenSecret("key", "v1", b"\0binary\xff" * 5000, env="KEY_FILE", file="key.bin"),
        GivenSecret("plain", "v1", b"only-a-file", file="plain"),
    )
)


async def test_they_are_variables_and_files_that_only_the_stage_reads(bench: Bench) -> None:
    script = """
import os, stat
print(os.environ["TOKEN"] == VALUE, os.environ["KEY_FILE"])
print(open("/khan/secrets/key.bin", "rb").read() == b"\\0binary\\xff" * 5000, open("/khan/secrets/plain").read())
print(oct(os.stat("/khan/secrets").st_mode & 0o777), oct(os.stat("/khan/secrets/plain").st_mode & 0o777))
for path in ("/khan/secrets/new", "/khan/secrets/plain"):
    try:
        open(path, "w")
        print("WRITTEN")
    except OSError as error:
        print("refused", error.errno)
print(sorted(os.listdir("/proc/self/fd")))
"""
    log = await bench.good(script.replace("VALUE", repr(VALUE)), "python", grant=GRANT, account="a")
    lines = log.splitlines()
    assert lines[:3] == ["True /khan/secrets/key.bin", "True only-a-file", "0o500 0o400"]
    assert "WRITTEN" not in log
    assert not {"4", "5", "6", "7"} & set(lines[-1].replace("'", "").strip("[]").split(", ")) - {"3"}


@pytest.mark.attack
async def test_no_list_of_processes_and_no_disk_has_them(bench: Bench) -> None:
    script = 'echo begun; while ! test -e /tmp/go; do sleep 0.02; done; test -n "$TOKEN"'
    key = await bench.start(script, grant=GRANT, account="a")
    await bench.logged(key, "begun")
    listed = b"\n".join(_command_lines())
    assert str(bench.folder(key)).encode() in listed
    assert b"s3cr3t" not in listed
    assert b"only-a-file" not in listed
    _nowhere(bench.layout.root)
    (bench.folder(key) / "tmp" / "go").touch()
    assert (await bench.ended(key)).exit_code == 0
    await bench.executor.forget(key)
    _nowhere(bench.layout.root)


def _command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


def _nowhere(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"s3cr3t" not in data, path
            assert b"only-a-file" not in data, path
            assert b"\0binary\xff" not in data, path


@pytest.mark.attack
async def test_one_stage_does_not_see_those_of_another(bench: Bench) -> None:
    first = await bench.start("echo here; exec sleep 61.75", grant=GRANT, account="a")
    await bench.logged(first, "here")
    log = await bench.good("env; ls -la /khan; cat /proc/*/environ | tr '\\0' '\\n'")
    assert "s3cr3t" not in log
    assert "secrets" not in log
    await bench.executor.cancel(first)
    await bench.ended(first)


async def test_what_no_variable_can_hold_is_refused(bench: Bench) -> None:
    grant = Grant(secrets=(GivenSecret("key", "v1", b"a\0b", env="KEY"),))
    with pytest.raises(ExecutorError, match="the secret key has a NUL in it"):
        await bench.start("true", grant=grant)


async def test_what_was_refused_since_does_not_start(bench: Bench) -> None:
    with pytest.raises(ExecutorError, match="there is no service account"):
        await bench.start("true", grant=Grant(refused="there is no service account 'a'"))


async def test_without_a_sandbox_they_are_in_memory_and_gone_at_the_end(bare: Bench) -> None:
    log = await bare.good('echo "$KEY_FILE"; wc -c < "$KEY_FILE"; printf %s "$TOKEN" | wc -c', grant=GRANT, account="a")
    path, size, length = log.split()
    assert path.startswith("/dev/shm/khantui-")
    assert (int(size), int(length)) == (40000, len(VALUE.encode()))
    assert not Path(path).parents[2].exists()
    _nowhere(bare.layout.root)
