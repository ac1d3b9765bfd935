"""The network of a stage: what its account declares is reached, and nothing else, whatever is tried."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backend.accounts.grant import Grant
from backend.clock import SystemClock
from backend.executors.sandbox import SandboxExecutor
from tests.executors.conftest import Bench

pytestmark = pytest.mark.sandbox


@contextlib.asynccontextmanager
async def server(host: str = "127.0.0.1") -> AsyncIterator[int]:
    """An HTTP server on this machine that answers with the request it got: its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(head) + head)
            await writer.drain()
        writer.close()

    serving = await asyncio.start_server(answer, host, 0)
    async with serving:
        yield int(serving.sockets[0].getsockname()[1])


ASK = """
import os, socket, sys, urllib.error, urllib.request
def ask(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError as error:
        return f"failed: {error}"
def tunnel(where, send=b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"):
    with socket.create_connection(("127.0.0.1", 3128), 10) as s:
        s.sendall(f"CONNECT {where} HTTP/1.1\\r\\n\\r\\n".encode())
        said = s.recv(65536)
        if b" 200 " not in said:
            return said.decode()
        s.sendall(send)
        return s.recv(65536).decode()
"""


def network(*destinations: str) -> dict[str, object]:
    return {"grant": Grant(network=destinations), "account": "web"}


async def test_declared_hosts_are_reached_by_whatever_knows_proxies(bench: Bench) -> None:
    async with server() as port:
        script = ASK + f"print(ask('http://127.0.0.1:{port}/path?q=1')); print(tunnel('127.0.0.1:{port}'))"
        # what urllib finds in no_proxy is not asked of the proxy: here the test's own server is on this machine
        log = await bench.good(
            "import os; os.environ['no_proxy'] = os.environ['NO_PROXY'] = ''\n" + script,
            "python",
            **network(f"127.0.0.1:{port}"),
        )
    assert f"GET /path?q=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}" in log.replace("\n", "\r\n").replace("\r\r", "\r")
    assert "Proxy" not in log
    assert log.count("200 OK") == 1


@contextlib.asynccontextmanager
async def company_proxy(leads_to: int) -> AsyncIterator[tuple[int, list[str]]]:
    """A proxy that knows names which nobody else does, and asks for a password: its port, and what it was asked."""
    asked: list[str] = []

    async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
            target.write_eof()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        if "Proxy-Authorization: Basic YW5uOnA6dw==\r\n" not in head or "forbidden" in head:
            writer.write(b"HTTP/1.1 407 Who are you\r\n\r\n")
        else:
            other = await asyncio.open_connection("127.0.0.1", leads_to)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(pipe(reader, other[1]), pipe(other[0], writer))
            other[1].close()
        writer.close()

    serving = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with serving:
        yield int(serving.sockets[0].getsockname()[1]), asked


async def test_behind_a_companys_proxy_connections_are_made_by_that(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server() as port, company_proxy(port) as (proxy, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:p%3Aw@127.0.0.1:{proxy}")
        monkeypatch.setenv("NO_PROXY", "localhost,.spared.invalid")
        script = (
            ASK
            + f"""
print("1", tunnel('api.known.invalid:8443').split()[1])
print("2", ask('http://api.known.invalid:8443/path'))
print("3", tunnel('undeclared.invalid:443'))
print("4", tunnel('x.spared.invalid:443'))
print("5", tunnel('127.0.0.1:{port}').split()[1])
print("6", tunnel('forbidden.invalid:443'))
print("7", tunnel('localhost:8443'))
with socket.create_connection(("api.known.invalid", 8443), 10) as direct:
    direct.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
    print("8", direct.recv(100).split()[1].decode())
"""
        )
        declared = ("api.known.invalid:8443", "*.spared.invalid", "forbidden.invalid", "localhost", f"127.0.0.1:{port}")
        log = await bench.good(script, "python", **network(*declared))
    assert "1 200" in log
    assert "GET /path" in log  # what is asked without CONNECT goes through it as well
    assert "undeclared.invalid:443 is refused: the service account web does not declare it" in log
    assert "x.spared.invalid:443 cannot be found" in log
    assert "5 200" in log
    assert "it says '407 Who are you'" in log
    assert "localhost:8443 is refused" in log
    assert "8 200" in log
    assert {head.split()[1] for head in asked} == {"api.known.invalid:8443", "forbidden.invalid:443"}
    assert "p:w" not in log
    assert "YW5u" not in log


async def test_a_host_and_port_that_is_declared_is_reached_by_what_knows_no_proxy(bench: Bench) -> None:
    async with server() as port, server() as other:
        script = f"""
import socket
with socket.create_connection(("localhost", {port}), 10) as s:
    s.sendall(b"GET /direct HTTP/1.1\\r\\n\\r\\n")
    print(s.recv(1000).decode())
print(open("/etc/hosts").read())
with socket.socket() as s:
    print(s.connect_ex(("127.0.0.1", {other})), s.connect_ex(("db.example.org", 5432)))
    print(s.recv(100))
"""
        log = await bench.good(script, "python", **network(f"127.0.0.1:{port}", "db.example.org:5432", "*.example.org"))
    assert "GET /direct" in log
    assert "127.64.0.1 db.example.org\n" in log
    assert "\n111 0\n" in log  # refused, and connected to a proxy that finds no such host
    assert "b''\n" in log
    assert "network: db.example.org:5432 cannot be" in log


@pytest.mark.attack
async def test_every_way_around_the_proxy_is_closed(bench: Bench, tmp_path: Path) -> None:
    script = (
        ASK
        + """
for f in os.listdir("/proc/self/fd"):
    print("open", f, os.path.islink(f"/proc/self/fd/{f}") and os.readlink(f"/proc/self/fd/{f}"))
for where in ATTACKS:
    print(where, "->", tunnel(where).splitlines()[0])
for family, address in [(socket.AF_INET, ("127.0.0.1", PORT)), (socket.AF_INET, ("1.1.1.1", 443)),
                        (socket.AF_INET, ("169.254.169.254", 80)), (socket.AF_INET6, ("2606:4700:4700::1111", 443)),
                        (socket.AF_UNIX, "\\0khantui-egress"), (socket.AF_UNIX, "DATA/api.sock"),
                        (socket.AF_UNIX, "DATA/etcd/client.sock")]:
    try:
        with socket.socket(family) as s:
            s.settimeout(5)
            s.connect(address)
            print("REACHED", address)
    except OSError as error:
        print("closed", address, error)
for name in ("example.org", "localhost.example.org", "metadata.google.internal"):
    try:
        print("REACHED", socket.getaddrinfo(name, 80))
    except OSError as error:
        print("not found", name, error)
try:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"x" * 30, ("8.8.8.8", 53))
    print("REACHED udp")
except OSError as error:
    print("closed udp", error)
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    print("REACHED raw")
except OSError as error:
    print("closed raw", error)
"""
    )
    (tmp_path / "data").mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as abstract, _unix(tmp_path / "data" / "api.sock"):
        abstract.bind("\0khantui-egress")
        abstract.listen()
        async with server() as port, server() as other:
            attacks = [
                f"127.0.0.1:{other}", f"localhost:{port}", f"LOCALHOST:{other}", f"2130706433:{other}",
                f"0x7f.1:{other}",
                f"[::1]:{other}", f"[::ffff:127.0.0.1]:{other}", f"0.0.0.0:{other}", "169.254.169.254:80",
                "metadata.google.internal:80", "10.0.0.1:443", "192.168.0.1:443", "172.17.0.1:2379", "100.64.0.1:443",
                "[fe80::1%25lo]:443", "[fd00::1]:443", "[64:ff9b::7f00:1]:443", "224.0.0.1:443", "unix:/run/api.sock",
                "example.com.attacker.test:443", f"127.0.0.1:{port}@127.0.0.1:{other}", "", "a b:443", "%00:443",
            ]  # fmt: skip
            body = script.replace("ATTACKS", repr(attacks)).replace("PORT", str(other))
            body = body.replace("DATA", str(tmp_path / "data"))
            log = await bench.good(body, "python", **network(f"127.0.0.1:{port}", "example.com:443", "*:8443"))
    assert "REACHED" not in log
    answers = [line for line in log.splitlines() if " -> " in line]
    assert len(answers) == len(attacks)
    assert all(" 403 " in line or " 400 " in line or " 502 " in line for line in answers), log
    assert "[khantui] network: 169.254.169.254:80 is refused: the service account web does not declare it" in log
    assert not [line for line in log.splitlines() if line.startswith("open ") and "socket:" in line], log


@contextlib.contextmanager
def _unix(path: Path) -> Iterator[None]:
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        listener.listen()
        yield
    os.close(folder)


@pytest.mark.attack
async def test_a_name_that_is_declared_opens_no_private_address(bench: Bench) -> None:
    async with server() as port:
        script = ASK + f"print(tunnel('localhost:{port}'))"
        log = await bench.good(script, "python", **network(f"localhost:{port}"))
        assert "which is no public address and not declared as one by the service account web" in log
        assert "200 OK" in await bench.good(script, "python", **network(f"localhost:{port}", f"127.0.0.1:{port}"))
        everything = await bench.good(script, "python", **network("*"))
        assert "is refused: it is 127.0.0.1" in everything or "is refused: it is ::1" in everything


async def test_the_command_is_untouched_and_the_proxy_ends_with_it(bench: Bench) -> None:
    async with server() as port:
        log = await bench.good(
            "ls -d /proc/[0-9]* | wc -l; ls -l /proc/self/fd | grep -c socket || true; echo $HTTPS_PROXY",
            **network(f"127.0.0.1:{port}"),
        )
    assert int(log.split()[0]) < 7
    assert log.splitlines()[1:3] == ["0", "http://127.0.0.1:3128"]
    async with asyncio.timeout(10):
        while _proxies(f"127.0.0.1:{port}"):
            await asyncio.sleep(0.02)


async def test_a_command_that_is_not_there_is_said_as_ever(bench: Bench) -> None:
    seen, _ = await bench.run("", "shell", argv=("no-such-program",), **network("*"))
    assert seen.message == "command not found: no-such-program"


async def test_its_network_outlives_the_daemon(bench: Bench) -> None:
    async with server() as port:
        script = (
            ASK
            + f"""
import time
while not os.path.exists("/tmp/go"):
    time.sleep(0.02)
print(tunnel("127.0.0.1:{port}"))
"""
        )
        spec = bench.spec(script, "python", **network(f"127.0.0.1:{port}"))
        await bench.executor.ensure(spec)
        async with asyncio.timeout(10):
            while not _proxies(f"127.0.0.1:{port}"):
                await asyncio.sleep(0.02)
        (proxy,) = _proxies(f"127.0.0.1:{port}")
        assert os.getsid(proxy) == proxy  # what is sent to the daemon's session does not reach it
        await bench.close()
        bench.executor = SandboxExecutor(bench.layout, SystemClock())
        bench._watch = asyncio.create_task(bench._follow())
        await bench.executor.ensure(spec)
        (bench.folder(spec.key) / "tmp" / "go").touch()
        assert (await bench.ended(spec.key)).exit_code == 0
        assert "200 OK" in bench.log(spec.key)


async def test_without_its_proxy_a_stage_has_no_network_at_all(bench: Bench) -> None:
    async with server() as port:
        script = (
            ASK
            + """
import time
print("begun", flush=True)
while not os.path.exists("/tmp/go"):
    time.sleep(0.02)
try:
    print(tunnel("x:1"))
except OSError as error:
    print("closed", error)
"""
        )
        key = await bench.start(script, "python", **network(f"127.0.0.1:{port}"))
        await bench.logged(key, "begun")
        (proxy,) = _proxies(f"127.0.0.1:{port}")
        os.kill(proxy, signal.SIGKILL)
        async with asyncio.timeout(10):
            while _proxies(f"127.0.0.1:{port}"):
                await asyncio.sleep(0.02)
        (bench.folder(key) / "tmp" / "go").touch()
        assert (await bench.ended(key)).exit_code == 0
        assert "closed" in bench.log(key)


def _proxies(word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"backend.egress" in argv and word.encode() in b" ".join(argv):
                found.append(int(entry.name))
    return found
