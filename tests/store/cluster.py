"""Etcds over TCP and TLS, as others run them: several members, certificates, users. Each can be killed and started."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.admin.authority import Pair, issue, new_authority
from backend.etcd_access import EtcdAccess
from backend.store.server_binary import EtcdBinary

DAY = timedelta(days=1)


class Cluster:
    """Members of one cluster, below one folder, with an authority of their own."""

    def __init__(self, folder: Path, binary: EtcdBinary, members: int) -> None:
        self.folder = folder
        self._binary = binary
        self.authority = new_authority("the tests' authority", DAY)
        self.ca = self._write("ca.crt", self.authority.cert)
        self.write_pair("server", issue(self.authority, "etcd", ["127.0.0.1", "localhost"], DAY))
        self._ports = [(_free(), _free()) for _ in range(members)]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where clients find the members."""
        return tuple(f"https://127.0.0.1:{client}" for client, _ in self._ports)

    token = "tests"

    def member(self, number: int) -> tuple[str, str, str]:
        """A member's name, its URL for its peers, and who all the members are."""
        everyone = ",".join(f"m{n}=https://127.0.0.1:{p}" for n, (_, p) in enumerate(self._ports))
        return f"m{number}", f"https://127.0.0.1:{self._ports[number][1]}", everyone

    def data(self, number: int) -> Path:
        """The folder in which a member's data are `data`."""
        folder = self.folder / f"m{number}"
        folder.mkdir(exist_ok=True)
        return folder

    def access(self, name: str, **more: object) -> EtcdAccess:
        """What opens it for who has the certificate `name`, which is made now unless it is there."""
        if not (self.folder / f"{name}.crt").exists():
            self.write_pair(name, issue(self.authority, name, [], DAY))
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        return EtcdAccess(self.endpoints, self.ca, cert, key, **more)  # type: ignore[arg-type]

    def write_pair(self, name: str, pair: Pair) -> None:
        """Put a certificate and its key in place, whatever was there before."""
        self._write(f"{name}.crt", pair.cert)
        self._write(f"{name}.key", pair.key)

    def expired(self, name: str) -> Pair:
        """A certificate of yesterday."""
        return issue(self.authority, name, ["127.0.0.1"], timedelta(hours=1), datetime.now(UTC) - DAY)

    def start(self, number: int) -> None:
        """Start a member that does not run."""
        client, peer = self._ports[number]
        name, _, everyone = self.member(number)
        flags = {
            "name": name,
            "data-dir": str(self.data(number) / "data"),
            "initial-cluster-token": self.token,
            "listen-client-urls": f"https://127.0.0.1:{client}",
            "advertise-client-urls": f"https://127.0.0.1:{client}",
            "listen-peer-urls": f"https://127.0.0.1:{peer}",
            "initial-advertise-peer-urls": f"https://127.0.0.1:{peer}",
            "initial-cluster": everyone,
            "client-cert-auth": "true",
            "trusted-ca-file": str(self.ca),
            "cert-file": str(self.folder / "server.crt"),
            "key-file": str(self.folder / "server.key"),
            "peer-client-cert-auth": "true",
            "peer-trusted-ca-file": str(self.ca),
            "peer-cert-file": str(self.folder / "server.crt"),
            "peer-key-file": str(self.folder / "server.key"),
            "log-level": "error",
        }
        argv = [str(self._binary.path), *(f"--{k}={v}" for k, v in flags.items())]
        with (self.folder / f"m{number}.log").open("ab") as said:
            self._processes[number] = subprocess.Popen(argv, stdout=said, stderr=said, cwd=self.folder)

    def start_all(self) -> None:
        """Start every member."""
        for number in range(len(self._ports)):
            self.start(number)

    def wait(self, number: int, limit: float = 30) -> None:
        """Wait until a member takes part: it answers, and has a leader."""
        name = f"{number}.probe"
        pair = self.access(name)
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(str(pair.cert), str(pair.key))
        end = time.monotonic() + limit
        while True:
            with contextlib.suppress(OSError):
                answer = urllib.request.urlopen(f"{self.endpoints[number]}/health", timeout=2, context=context)
                with answer:
                    if b'"true"' in answer.read():
                        return
            assert time.monotonic() < end, f"member {number} does not come back"
            time.sleep(0.05)

    def kill(self, number: int) -> None:
        """`kill -9` of a member."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def close(self) -> None:
        """End what runs."""
        for number in tuple(self._processes):
            self.kill(number)

    def _write(self, name: str, content: bytes) -> Path:
        part = self.folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(self.folder / name)
        return self.folder / name


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
