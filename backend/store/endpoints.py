"""Addresses of an etcd, as people write them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from backend.errors import StoreError

PORT = 2379


def read_endpoints(given: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Targets as gRPC takes them, and whether they are reached over TLS (`https://`). Raises StoreError."""
    read = [_read(one.strip()) for one in given]
    if not read:
        raise StoreError("no endpoint of etcd was given", hint=_HINT)
    if len({encrypted for _, encrypted in read}) > 1:
        raise StoreError("some endpoints of etcd are https and some are not", hint="write https:// before all or none")
    return tuple(target for target, _ in read), read[0][1]


_HINT = "e.g. etcd-0.example:2379,etcd-1.example:2379"


def _read(given: str) -> tuple[str, bool]:
    if given.startswith("unix:/"):
        return "unix:/" + given.removeprefix("unix:").lstrip("/"), False
    scheme, _, address = given.rpartition("://")
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port or PORT
    except ValueError as error:
        raise StoreError(f"{given!r} is no endpoint of etcd: {error}", hint=_HINT) from None
    if scheme not in ("", "http", "https") or not host or parts.path.strip("/"):
        raise StoreError(f"{given!r} is no endpoint of etcd", hint=_HINT)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", scheme == "https"
