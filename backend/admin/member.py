"""One member of the etcd of an installation on Kubernetes: becomes its server, or restores its data from a backup."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

from backend.admin.backup import PATTERN
from backend.admin.restore import restore_into
from backend.errors import StoreError
from backend.store.embedded import held
from backend.store.server_binary import find
from backend.store.snapshot import Member, verify

NAME = "khantui-etcd"  # of the StatefulSet and its Service
CLIENTS, PEERS, METRICS = 2379, 2380, 2381  # ports
QUOTA = 4 << 30  # bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `etcd-member` takes."""
    members = int(os.environ.get("KHANTUI_ETCD_MEMBERS", "1"))
    parser.add_argument("--members", type=int, default=members, metavar="N", help="how many there are (%(default)s)")
    parser.add_argument("--name", default=socket.gethostname(), help="which of them this is (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("/var/lib/etcd"), help="where its data are (%(default)s)")
    parser.add_argument("--tls", type=Path, default=Path("/etc/etcd"), help="the certificates' folder (%(default)s)")
    parser.add_argument(
        "--restore", type=Path, metavar="FILE", help="restore its data from a backup, or a folder's newest, and end"
    )


def main(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Become etcd; or restore. Raises StoreError."""
    member = member_of(given.name, given.members)
    if given.restore is not None:
        _restore(given.folder, newest(given.restore), member)
        return
    binary = find(Path(path) if (path := os.environ.get("KHANTUI_ETCD")) else None)
    if binary is None:
        raise StoreError("there is no etcd in this image", hint="use the image khantui-etcd")
    argv = [str(binary.path), *flags(member, given.folder, given.tls)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}  # those are etcd's own flags
    os.execve(argv[0], argv, environment)  # noqa: S606


def member_of(name: str, members: int) -> Member:
    """The member of that name among so many, as a StatefulSet calls them."""
    urls = {f"{NAME}-{n}": f"https://{NAME}-{n}.{NAME}:{PEERS}" for n in range(members)}
    if name not in urls:
        raise StoreError(f"there is no member {name}", hint=f"there are {', '.join(urls)}")
    return Member(name, urls[name], ",".join(f"{n}={u}" for n, u in urls.items()), NAME)


def flags(member: Member, folder: Path, tls: Path) -> list[str]:
    """How etcd is started: TLS both ways, and only its own peers as peers."""
    values = {
        "name": member.name,
        "data-dir": folder / "data",
        "listen-client-urls": f"https://0.0.0.0:{CLIENTS}",
        "advertise-client-urls": f"https://{member.name}.{NAME}:{CLIENTS}",
        "listen-peer-urls": f"https://0.0.0.0:{PEERS}",
        "initial-advertise-peer-urls": member.peer_url,
        "initial-cluster": member.cluster,
        "initial-cluster-token": member.token,
        "listen-metrics-urls": f"http://0.0.0.0:{METRICS}",
        "client-cert-auth": "true",
        "trusted-ca-file": tls / "server" / "ca.crt",
        "cert-file": tls / "server" / "tls.crt",
        "key-file": tls / "server" / "tls.key",
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": tls / "peer" / "ca.crt",
        "peer-cert-file": tls / "peer" / "tls.crt",
        "peer-key-file": tls / "peer" / "tls.key",
        "peer-cert-allowed-cn": "khantui-etcd-peer",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "1h",
        "quota-backend-bytes": QUOTA,
        "max-request-bytes": 4 << 20,
        "enable-grpc-gateway": "false",
        "log-level": "warn",
    }
    return [f"--{name}={value}" for name, value in values.items()]


def newest(place: Path) -> Path:
    """A backup: the file itself, or the newest in a folder. Raises StoreError."""
    if not place.is_dir():
        return place
    found = sorted(place.glob(PATTERN))
    if not found:
        raise StoreError(f"there is no backup in {place}")
    return found[-1]


def _restore(folder: Path, snapshot: Path, member: Member) -> None:
    digest = verify(snapshot)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        before = restore_into(folder, snapshot, member)
    print(f"{member.name} has the state of {snapshot}, sha256 {digest}")
    if before is not None:
        print(f"what was there before is in {before}")
