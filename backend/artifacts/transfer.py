"""Artifacts between a disk and an object store: streamed, several files at once, in bounded memory.

Small files go many at once, larger ones fewer, and of those beyond 8 MiB one at a time, in blocks: it takes about
150 MiB at most, however large the artifact is.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import BinaryIO, TypeVar

from backend.artifacts.content import EXECUTABLE, FOLDER, LINK, Member, folder_record, kind_of, survey
from backend.artifacts.manifest import manifest_of, object_of, pack, unpack
from backend.errors import ArtifactError
from backend.objects.bucket import BLOCK, Bucket, Head
from backend.run.state import ArtifactRecord

SMALL = 1 << 20  # bytes
AT_ONCE = 12  # files that are under way
LARGER_AT_ONCE = 3  # of those, files that are larger than SMALL

T = TypeVar("T")


class Slots:
    """How many files of which size may be under way at once, in this much memory."""

    def __init__(self) -> None:
        self._small = asyncio.Semaphore(AT_ONCE)
        self._larger = asyncio.Semaphore(LARGER_AT_ONCE)
        self._large = asyncio.Semaphore(1)

    def of(self, size: int) -> asyncio.Semaphore:
        """What a file of so many bytes waits for."""
        return self._small if size <= SMALL else self._larger if size <= BLOCK else self._large


async def send(path: Path, bucket: Bucket, location: str) -> ArtifactRecord:
    """Upload the file or folder at `path`; a folder's manifest comes last. Raises ArtifactError."""
    if kind_of(path) == "file":
        info = path.stat()
        digest = await send_file(path, info.st_size, bucket, location)
        return ArtifactRecord("file", info.st_size, 1, digest, location)
    members = await _send_members(path, bucket, location)
    await bucket.put(manifest_of(location), await asyncio.to_thread(pack, members))
    return await asyncio.to_thread(folder_record, members, location)


async def send_file(path: Path, size: int, bucket: Bucket, key: str) -> str:
    """Upload one file: its SHA-256. Raises ArtifactError, also if it does not stay as large as it was."""
    if size <= BLOCK:
        data = await asyncio.to_thread(path.read_bytes)
        await bucket.put(key, data)
        digest, sent = hashlib.sha256(data), len(data)
    else:
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            await bucket.upload(key, _blocks(file, digest), size)
            sent = file.tell()
    if sent != size:
        raise ArtifactError(f"{path.name!r} changed while it was read")
    return digest.hexdigest()


async def receive(
    bucket: Bucket, location: str, kind: str, target: Path, *, sha256: str = "", seal: bool = True
) -> None:
    """Bring the artifact at `location` to `target`. `seal` makes its files read-only.

    Raises ArtifactError, also if it is not what `sha256` says: somebody has changed the store by hand.

    What is at `target` from an attempt that was interrupted is written anew.
    """
    if kind == "file":
        found = await bucket.head(location)
        if found is None:
            raise gone(bucket, location)
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = await receive_file(bucket, found, target, 0o444 if seal else 0o644)
        if sha256 not in ("", digest):
            raise _altered(bucket, location)
        return
    members = await members_of(bucket, location)
    if sha256 and (await asyncio.to_thread(folder_record, members)).sha256 != sha256:
        raise _altered(bucket, manifest_of(location))
    target.mkdir(parents=True, exist_ok=True)
    for member in members:
        folder = target / member.path if member.kind == FOLDER else (target / member.path).parent
        folder.mkdir(parents=True, exist_ok=True)

    slots = Slots()

    async def bring(member: Member) -> None:
        found = Head(object_of(location, member), member.bytes, "")
        mode = 0o755 if member.kind == EXECUTABLE else 0o644
        async with slots.of(member.bytes):
            digest = await receive_file(bucket, found, target / member.path, mode & ~0o222 if seal else mode)
        if digest != member.value:
            raise _altered(bucket, object_of(location, member))

    await several((m for m in members if m.is_file), bring)
    for member in members:
        if member.kind == LINK:
            (target / member.path).unlink(missing_ok=True)
            (target / member.path).symlink_to(member.value)


async def members_of(bucket: Bucket, location: str) -> list[Member]:
    """What is in a folder. Raises ArtifactError if it is not there."""
    key = manifest_of(location)
    if await bucket.head(key) is None:
        raise gone(bucket, location)
    return await asyncio.to_thread(unpack, await bucket.get(key), bucket.uri(key))


def gone(bucket: Bucket, location: str) -> ArtifactError:
    """The error that says that an artifact is not in the store any more."""
    return ArtifactError(f"{bucket.uri(location)} is not there: somebody removed it from the artifact store")


def _altered(bucket: Bucket, key: str) -> ArtifactError:
    return ArtifactError(
        f"{bucket.uri(key)} is not what was published: it was changed or damaged", hint="run what wrote it again"
    )


async def several(items: Iterable[T], work: Callable[[T], Awaitable[object]], at_once: int = AT_ONCE) -> None:
    """Do something with each item, a few at a time; the first error ends all."""
    pending = iter(items)

    async def worker() -> None:
        for item in pending:
            await work(item)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(worker())
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__


async def _send_members(path: Path, bucket: Bucket, location: str) -> list[Member]:
    slots = Slots()
    sent: list[Member] = []

    async def transfer(member: Member) -> None:
        if member.is_file:
            source, key = path / member.path, object_of(location, member)
            async with slots.of(member.bytes):
                digest = await send_file(source, member.bytes, bucket, key)
            member = Member(member.path, member.kind, digest, member.bytes, member.modified)
        sent.append(member)

    # nothing is sent of a folder that cannot be passed on
    await several(await asyncio.to_thread(lambda: [*survey(path)]), transfer)
    return sorted(sent, key=lambda m: m.path)


async def receive_file(bucket: Bucket, found: Head, target: Path, mode: int = 0o644) -> str:
    """Write an object to a file: its SHA-256. Raises ArtifactError."""
    digest = hashlib.sha256()
    target.unlink(missing_ok=True)
    try:
        with target.open("xb", buffering=0) as file:
            async for block in bucket.read(found):
                await asyncio.to_thread(_write, file, block, digest)
            os.fchmod(file.fileno(), mode)
    except OSError as error:
        why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        raise ArtifactError(f"cannot write {target}: {why}") from error
    return digest.hexdigest()


def _write(file: BinaryIO, block: bytes, digest: hashlib._Hash) -> None:
    digest.update(block)
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


async def _blocks(file: BinaryIO, digest: hashlib._Hash) -> AsyncIterator[bytes]:
    def block() -> bytes:
        data = file.read(BLOCK)
        digest.update(data)
        return data

    while data := await asyncio.to_thread(block):
        yield data
