"""Makes what the parts of an installation on Kubernetes show one another, as Secrets; and renews it in time.

An authority of its own signs a certificate for each part. Who may read which Secret is the cluster's matter. It may be
run at any time: what is there and good for long is left alone.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import secrets
from datetime import UTC, datetime, timedelta

import msgspec

from backend.admin.authority import Pair, issue, new_authority
from backend.errors import KhanError, ObjectExists, ObjectMissing
from backend.kube import SECRETS, Connection, Kube, Object, connect

AUTHORITY = "khantui-ca"
TOKEN = "khantui-token"  # noqa: S105  the Secret's name
SECRETS_KEY = "khantui-secrets-key"
DECADE = timedelta(days=3650)
YEAR = timedelta(days=365)
LEFT = timedelta(days=120)  # a certificate with less to live is renewed
MEMBERS = 5  # more etcds than anybody has
LABELS = {"app.kubernetes.io/name": "khantui", "app.kubernetes.io/managed-by": "khantui-certificates"}


class SecretObject(Object, frozen=True, rename="camel"):
    """A Secret, with what it holds in base64."""

    data: dict[str, str] = msgspec.field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `certificates` takes."""
    parser.add_argument("--host", action="append", default=[], metavar="NAME", help="one more name of the API")
    parser.add_argument("--renew", action="store_true", help="make all certificates anew, however long they would last")


def main(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Make what is missing, renew what is old, and say what was done. Raises KhanError."""
    asyncio.run(_main(tuple(given.host), given.renew))


async def _main(hosts: tuple[str, ...], renew: bool) -> None:
    kube = await connect(Connection())
    try:
        await Certificates(kube).make(hosts, renew=renew)
    finally:
        await kube.close()


def certificates(namespace: str, more: tuple[str, ...] = ()) -> dict[str, tuple[str, list[str]]]:
    """Every certificate: its Secret, the name in it (which is a user of etcd's), and the hosts that it is for."""
    local = ["localhost", "127.0.0.1"]
    members = [f"khantui-etcd-{n}.khantui-etcd" for n in range(MEMBERS)]
    etcd = [*_everywhere(["khantui-etcd", *members], namespace), *local]
    return {
        "khantui-etcd-tls": ("khantui-etcd", etcd),
        "khantui-etcd-peer-tls": ("khantui-etcd-peer", etcd),
        "khantui-etcd-client-tls": ("khantui", []),
        "khantui-etcd-root-tls": ("root", []),
        "khantui-api-tls": ("khantui-api", [*_everywhere(["khantui"], namespace), *local, *more]),
    }


def _everywhere(names: list[str], namespace: str) -> list[str]:
    """Those names as they are written within the namespace, and from others."""
    ends = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
    return [name + end for name in names for end in ends]


class Certificates:
    """The Secrets of one namespace."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def make(self, hosts: tuple[str, ...] = (), *, renew: bool = False) -> None:
        """Make and renew them. Raises KhanError."""
        authority = await self._authority()
        for name, (subject, names) in certificates(self._kube.namespace, hosts).items():
            there = await self._read(name)
            if there is not None and not renew and (left := _left(there, authority)) > LEFT:
                print(f"{name} is good for {left.days} days")
                continue
            pair = issue(authority, subject, names, YEAR)
            content = {"tls.crt": pair.cert, "tls.key": pair.key, "ca.crt": authority.cert}
            await self._write(name, content, new=there is None)
        if await self._read(TOKEN) is None:
            await self._write(TOKEN, {"token": secrets.token_hex(32).encode()}, new=True)

        if await self._read(SECRETS_KEY) is None:
            await self._write(SECRETS_KEY, {"keys": base64.b64encode(secrets.token_bytes(32)) + b"\n"}, new=True)

    async def _authority(self) -> Pair:
        there = await self._read(AUTHORITY)
        if there is None:
            pair = new_authority(f"Khantui in {self._kube.namespace}", DECADE)
            await self._write(AUTHORITY, {"ca.crt": pair.cert, "ca.key": pair.key}, new=True)
            return pair
        pair = Pair(there.get("ca.crt", b""), there.get("ca.key", b""))
        try:
            left = pair.until - datetime.now(UTC)
        except ValueError as error:
            raise KhanError(f"the Secret {AUTHORITY} holds no authority: {error}", hint="delete it") from error
        if left < YEAR:
            raise KhanError(
                f"the authority in the Secret {AUTHORITY} has only {left.days} days left",
                hint="delete that Secret and run this with --renew, while nothing runs",
            )
        return pair

    async def _read(self, name: str) -> dict[str, bytes] | None:
        try:
            found = await self._kube.get(SECRETS, name, SecretObject)
        except ObjectMissing:
            return None
        return {key: base64.b64decode(value) for key, value in found.data.items()}

    async def _write(self, name: str, content: dict[str, bytes], *, new: bool) -> None:
        data = {key: base64.b64encode(value).decode() for key, value in content.items()}
        if new:
            manifest = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "labels": LABELS},
                "type": "kubernetes.io/tls" if "tls.crt" in content else "Opaque",
                "data": data,
            }
            try:
                await self._kube.create(SECRETS, manifest, SecretObject)
            except ObjectExists as error:  # somebody else makes them at this moment
                raise KhanError(
                    f"the Secret {name} has just been made by somebody else", hint="run it again"
                ) from error
        else:
            await self._kube.patch(SECRETS, name, {"data": data}, SecretObject)
        print(f"{name} is {'new' if new else 'renewed'}")


def _left(content: dict[str, bytes], authority: Pair) -> timedelta:
    """How long a certificate is good; no time at all where it does not come from the authority, or is none."""
    if content.get("ca.crt") != authority.cert:
        return timedelta(0)
    try:
        return Pair(content["tls.crt"], content["tls.key"]).until - datetime.now(UTC)
    except (KeyError, ValueError):
        return timedelta(0)
