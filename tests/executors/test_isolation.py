"""What a stage sees, and what it cannot: each attack is made, from within a real sandbox."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tests.executors.conftest import RUN, Bench

pytestmark = [pytest.mark.sandbox, pytest.mark.attack]


async def test_a_stage_sees_its_inputs_code_environment_and_a_place_for_its_outputs(bench: Bench) -> None:
    code = bench.layout.bundle("c0de")
    code.mkdir(parents=True)
    (code / "main.sh").write_text("echo code")
    log = await bench.good(
        'cat "$KHAN_INPUT_raw"; echo; cat "$KHAN_INPUT_many"/2025; echo; pwd; sh main.sh; echo "$GREETING"; '
        'echo result > "$KHAN_OUTPUT_out"; echo t > "$TMPDIR/x"; id -u; hostname || cat /proc/sys/kernel/hostname',
        inputs=(bench.input("raw", "data"), bench.input("many", "a part", "2025")),
        code="c0de",
        environment={"GREETING": "hello $USER `x` \"'"},
    )
    assert log.split("\n")[:7] == ["data", "a part", "/khan/code", "code", "hello $USER `x` \"'", "1000", "khantui"]
    assert (bench.layout.attempt(RUN, "s1", 1) / "out" / "out").read_text() == "result\n"


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "/root", "/home", "/var", "/run", "/srv", "/opt", "/boot", "/sys/kernel", "/dev/sda", "/dev/kmsg"],
)
async def test_the_hosts_files_are_not_there(bench: Bench, path: str) -> None:
    seen, _ = await bench.run(f"test -e {path}")
    assert seen.exit_code == 1


async def test_the_daemons_folder_is_not_there(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "data" / "secret").write_text("x")
    other = await bench.start("echo mine > $KHAN_OUTPUT_out")
    await bench.ended(other)
    seen, log = await bench.run(
        f"ls {tmp_path} {bench.folder(other)}; find / -name secret -o -name api.sock 2>/dev/null"
    )
    assert "secret" not in log
    assert "api.sock" not in log
    assert "No such file" in log
    assert "mine" not in log
    assert seen.state == "exited"


@pytest.mark.parametrize(
    "attack",
    [
        "touch /new", "touch /usr/bin/new", "touch /etc/new", "echo x > /khan/code/new", "mkdir /khan/in/new",
        'echo x > "$KHAN_INPUT_raw"', 'rm "$KHAN_INPUT_raw"', 'chmod 777 "$KHAN_INPUT_raw"', "echo x > /khan/script.sh",
        "mount -t tmpfs none /khan/code", "mount -o remount,rw /", "umount /proc", "chroot / true",
        "unshare -U true", "unshare -n true", "mknod /tmp/sda b 8 0", "chown 0 /tmp", "ulimit -n 100000000",
        "echo x > /proc/sys/kernel/hostname", "hostname other",
    ],
)  # fmt: skip
async def test_what_is_not_the_stages_cannot_be_changed(bench: Bench, attack: str) -> None:
    seen, log = await bench.run(attack, inputs=(bench.input("raw", "data"),))
    assert seen.exit_code, log
    assert bench.layout.artifact("artifacts/inputs/raw.").read_text() == "data"


async def test_other_processes_are_not_seen_and_not_reached(bench: Bench) -> None:
    mine = os.getpid()
    log = await bench.good(f"ls -d /proc/[0-9]* | wc -l; kill -9 {mine} 2>&1 || true; kill -9 -1 2>&1 || true")
    assert int(log.split()[0]) < 10  # and this process still runs


async def test_two_stages_do_not_see_one_another(bench: Bench) -> None:
    first = await bench.start("echo here; exec sleep 61.5")
    await bench.logged(first, "here")
    log = await bench.good("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; ls /tmp /khan/out")
    assert "61.5" not in log
    await bench.executor.cancel(first)
    await bench.ended(first)


async def test_capabilities_and_new_privileges_are_gone(bench: Bench) -> None:
    log = await bench.good("grep -E '^(Cap|NoNewPrivs)' /proc/self/status")
    found = dict(line.split(":\t") for line in log.splitlines())
    assert found["NoNewPrivs"] == "1"
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}


CONNECT = """
import socket, sys
for family, address in ((socket.AF_INET, ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else PORT)),
                        (socket.AF_UNIX, "\\0khantui-test")):
    try:
        with socket.socket(family) as s:
            s.settimeout(5)
            s.connect(address)
            print("reached", family)
    except OSError as error:
        print("refused", error.errno)
"""


async def test_the_network_is_out_of_reach(bench: Bench) -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        abstract.bind("\0khantui-test")
        abstract.listen()
        script = CONNECT.replace("PORT", str(tcp.getsockname()[1]))
        assert "reached" not in await bench.good(script, "python")


async def test_shared_memory_is_its_own(bench: Bench) -> None:
    name = f"khantui-{os.getpid()}"
    shared = Path("/dev/shm", name)
    shared.write_text("secret")
    try:
        log = await bench.good("ls /dev/shm; cat /proc/sysvipc/shm /proc/sysvipc/msg | grep -v key || true")
    finally:
        shared.unlink()
    assert not log.strip()


async def test_the_daemons_environment_does_not_reach_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    names = {line.partition("=")[0] for line in (await bench.good("env")).splitlines()}
    allowed = {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE", "KHAN_OUTPUT_out", "PWD", "SHLVL", "_",
               "OLDPWD"}  # fmt: skip
    assert names <= allowed


async def test_the_daemons_open_files_do_not_reach_it(bench: Bench, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file, socket.socket() as sock:
        os.set_inheritable(sock.fileno(), False)
        log = await bench.good("ls -l /proc/self/fd | sed 's/.*-> //'")
        assert str(tmp_path / "open") not in log
        assert "socket:" not in log
        file.write("")


async def test_no_kernel_setting_can_be_changed(bench: Bench) -> None:
    script = """
import os
found = []
for folder, folders, files in os.walk("/proc"):
    if folder.count("/") == 2 and folder.rsplit("/")[-1].isdigit():
        folders.clear()
        continue
    for name in files:
        try:
            os.close(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_NONBLOCK))
            found.append(f"{folder}/{name}")
        except OSError:
            continue
print(len(found), found[:3])
"""
    assert await bench.good(script, "python") == "0 []\n"


@pytest.mark.parametrize("flag", [0x10000000, 0x00020000, 0x20000000, 0x40000000], ids=["user", "mount", "pid", "net"])
async def test_no_new_namespace_can_be_made(bench: Bench, flag: int) -> None:
    script = f"import ctypes\nprint(ctypes.CDLL(None).unshare({flag}))"
    assert await bench.good(script, "python") == "-1\n"


async def test_what_it_leaves_running_ends_with_it(bench: Bench) -> None:
    script = "(setsid sh -c 'trap \"\" TERM HUP; exec sleep 63.25' > /dev/null 2>&1 &)\necho left"
    assert await bench.good(script) == "left\n"
    async with asyncio.timeout(5):
        while _runs("63.25"):
            await asyncio.sleep(0.01)


def _runs(word: str) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if word.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    return True
            except OSError:
                continue
    return False


async def test_no_other_process_is_traced(bench: Bench) -> None:
    script = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print([libc.ptrace(16, pid, 0, 0) for pid in ({os.getpid()}, {os.getppid()}) if pid > 20])
print([os.path.exists(f"/proc/{{pid}}/mem") and os.access(f"/proc/{{pid}}/mem", os.W_OK) for pid in ({os.getpid()},)])
"""
    traced, written = (await bench.good(script, "python")).splitlines()
    assert "0" not in traced.strip("[]").split(", "), traced
    assert written == "[False]"


async def test_there_is_no_device_but_those_that_lead_nowhere(bench: Bench) -> None:
    script = """
import os, stat
made = []
for kind in (stat.S_IFBLK, stat.S_IFCHR):
    for folder in ("/tmp", "/khan/out", "/dev", "/dev/shm"):
        try:
            os.mknod(f"{folder}/made", kind | 0o666, os.makedev(8 if kind == stat.S_IFBLK else 1, 1))
            made.append(folder)
        except OSError:
            pass
found = set()
for folder in ("/dev", "/tmp", "/khan", "/etc", "/run", "/var"):
    for parent, _, files in os.walk(folder):
        for name in files:
            mode = os.lstat(f"{parent}/{name}").st_mode
            if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
                found.add(f"{parent}/{name}")
print(made, sorted(found - {f"/dev/{name}" for name in ("full", "null", "random", "tty", "urandom", "zero")}))
"""
    # terminals are its own, and it has none
    assert await bench.good(script, "python") in ("[] []\n", "[] ['/dev/pts/ptmx']\n")


async def test_no_port_of_the_machine_is_reached_by_any_address_of_it(bench: Bench) -> None:
    with socket.socket() as etcd, socket.socket(socket.AF_INET6) as other:
        for found, host in ((etcd, "0.0.0.0"), (other, "::")):
            found.bind((host, 0))
            found.listen()
        ports = (etcd.getsockname()[1], other.getsockname()[1], 2379, 2380)
        here = sorted({str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)})
        script = f"""
import socket
for host in [*{here}, "127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "169.254.169.254", "10.0.2.2"]:
    for port in {ports}:
        try:
            socket.create_connection((host, port), 1).close()
            print("reached", host, port)
        except OSError:
            pass
"""
        assert await bench.good(script, "python") == ""


async def test_a_program_that_is_set_to_another_user_gains_nothing(bench: Bench) -> None:
    log = await bench.good(
        'cp "$(command -v id)" /tmp/id && chmod u+s /tmp/id; /tmp/id -u; id -u; '
        'for p in su sudo mount passwd; do [ -u "$(command -v $p)" ] && echo found; done; grep NoNew /proc/self/status'
    )
    assert "NoNewPrivs:\t1" in log
    assert log.split()[0] == log.split()[1]
