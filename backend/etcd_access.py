"""How an etcd that others run is reached, and as whom: its flags and variables, for every program that has them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from msgspec import Struct

_FILES = {
    "ca": "certificates of the authorities that etcd's own certificate may come from (default: the system's)",
    "cert": "the certificate to show to etcd",
    "key": "the private key of that certificate",
    "password-file": "a file with the password for etcd; KHANTUI_ETCD_PASSWORD is the password itself",
}


class EtcdAccess(Struct, frozen=True):
    """Endpoints, and what opens them. Files are read when a connection is made, so that they may be renewed."""

    endpoints: tuple[str, ...] = ()  # host:port, URLs, or unix:/path; empty: there is no such etcd
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str = ""
    password: str = ""
    password_file: Path | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags `--etcd…`; each is a variable KHANTUI_ETCD_… where it is not given."""
    group = parser.add_argument_group("an etcd that others run")
    endpoints = os.environ.get("KHANTUI_ETCD_ENDPOINTS", "")
    group.add_argument("--etcd", default=endpoints, help="endpoints, comma-separated; https:// for TLS")
    for name, text in _FILES.items():
        group.add_argument(f"--etcd-{name}", type=Path, default=_path(name), metavar="FILE", help=text)
    group.add_argument("--etcd-user", default=os.environ.get("KHANTUI_ETCD_USER", ""), help="who logs in to etcd")


def read(parser: argparse.ArgumentParser, given: argparse.Namespace) -> EtcdAccess:
    """What was given. Leaves by `parser.error` where it does not fit together."""
    endpoints = tuple(e.strip() for e in given.etcd.split(",") if e.strip())
    password = os.environ.get("KHANTUI_ETCD_PASSWORD", "")
    if bool(given.etcd_cert) != bool(given.etcd_key):
        parser.error("--etcd-cert and --etcd-key belong together: give both, or neither")
    if (given.etcd_ca or given.etcd_cert) and not all(e.startswith("https://") for e in endpoints):
        parser.error("--etcd-ca and --etcd-cert are for TLS: write the endpoints of --etcd with https://")
    if given.etcd_user and not (password or given.etcd_password_file):
        parser.error("--etcd-user needs --etcd-password-file, or KHANTUI_ETCD_PASSWORD")
    if given.etcd_password_file and not given.etcd_user:
        parser.error("--etcd-password-file needs --etcd-user")
    return EtcdAccess(
        endpoints, given.etcd_ca, given.etcd_cert, given.etcd_key, given.etcd_user, password, given.etcd_password_file
    )


def _path(name: str) -> Path | None:
    value = os.environ.get(f"KHANTUI_ETCD_{name.upper().replace('-', '_')}")
    return Path(value) if value else None
