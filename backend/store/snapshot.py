"""Snapshots of an etcd: taken while it runs, checked by the hash that etcd sends with them, and made data again."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc.aio
from msgspec import Struct

from backend.errors import StoreError, StoreUnavailable
from backend.store.calls import error_of, rpc
from backend.store.etcd import EtcdStore

DIGEST = hashlib.sha256().digest_size  # bytes of the hash at the end of a snapshot
PAGE = 512  # what a database's size is a multiple of
SILENCE = 60.0  # seconds after which an etcd that sends nothing is given up
BUMP = 1_000_000_000  # revisions that a restored etcd leaps, so that none is given out twice


class Saved(Struct, frozen=True):
    """A snapshot that was taken."""

    path: Path
    size: int  # bytes
    sha256: str  # of the database, as etcd itself says


class Member(Struct, frozen=True):
    """Who a restored data folder is for."""

    name: str
    peer_url: str
    cluster: str  # NAME=URL,…
    token: str


EMBEDDED = Member("embedded", "http://localhost:2380", "embedded=http://localhost:2380", "etcd-cluster")


async def save(store: EtcdStore, target: Path) -> Saved:
    """Write a snapshot to `target`, whole or not at all. Raises StoreError."""
    part = target.with_name(f".{target.name}.part")
    try:
        return await _save(store, target, part)
    except OSError as error:
        raise StoreError(f"the backup {target} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


async def _save(store: EtcdStore, target: Path, part: Path) -> Saved:
    digest, held, size = hashlib.sha256(), b"", 0
    descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        async for blob in _stream(store):
            file.write(blob)
            size += len(blob)
            held += blob
            digest.update(held[:-DIGEST])  # the hash itself comes last
            held = held[-DIGEST:]
        if size % PAGE != DIGEST or digest.digest() != held:
            raise StoreUnavailable(f"the snapshot that etcd sent is damaged ({size} bytes)", hint="take it again")
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return Saved(target, size, digest.hexdigest())


async def _stream(store: EtcdStore) -> AsyncIterator[bytes]:
    calls = store.calls
    await store.reached()
    try:
        call = calls.member().maintenance.Snapshot(rpc.SnapshotRequest(), metadata=await calls.metadata())
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    answer = await call.read()
                if answer is grpc.aio.EOF:
                    break
                yield answer.blob
        finally:
            call.cancel()
    except TimeoutError as error:
        raise StoreUnavailable("etcd has stopped to send the snapshot", hint="take it again") from error
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error


def verify(snapshot: Path) -> str:
    """The hash of a snapshot, if it is whole. Raises StoreError."""
    try:
        with snapshot.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            left, digest = size - DIGEST, hashlib.sha256()
            while left > 0 and (block := file.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
            wanted = file.read()
    except OSError as error:
        raise StoreError(f"the backup {snapshot} cannot be read: {error.strerror}") from error
    if size % PAGE != DIGEST or digest.digest() != wanted:
        raise StoreError(f"{snapshot} is no backup, or is damaged: its hash is not right", hint="use another one")
    return digest.hexdigest()


def restore(restorer: Sequence[str], snapshot: Path, data: Path, member: Member) -> None:
    """Make the data folder `data`, which must not exist, of a snapshot. Raises StoreError."""
    verify(snapshot)
    if data.exists():
        raise StoreError(f"{data} exists already")
    argv = [
        *restorer,
        str(snapshot),
        f"--data-dir={data}",
        f"--name={member.name}",
        f"--initial-advertise-peer-urls={member.peer_url}",
        f"--initial-cluster={member.cluster}",
        f"--initial-cluster-token={member.token}",
        f"--bump-revision={BUMP}",
        "--mark-compacted",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
        raise StoreError(f"{snapshot} could not be restored: {said}")
