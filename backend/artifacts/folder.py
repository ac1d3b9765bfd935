"""Artifacts in a folder of this machine: checked and hashed where stages left them, never copied in between.

Nothing is moved when it is published: that an artifact is published is what the stage's record in the store says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from backend.artifacts import copy
from backend.artifacts.content import SMALL, describe, digest_of, hashed, is_small, missing, remove, survey
from backend.artifacts.outside import Buckets, Found, absent, download, is_web, local_path, put_folder
from backend.artifacts.reach import Reach
from backend.artifacts.reading import Content, below, on_disk
from backend.artifacts.transfer import receive_file, send_file, several
from backend.errors import ArtifactError, NotFound
from backend.layout import Layout
from backend.objects.bucket import Bucket
from backend.room import no_room
from backend.run.state import ArtifactRecord


class FolderStore:
    """The artifacts of one data folder."""

    def __init__(self, layout: Layout, reach: Reach | None = None) -> None:
        self._layout = layout
        self._buckets = Buckets()
        self._reach = reach or Reach()
        self._known: dict[object, ArtifactRecord] = {}  # what was brought in before and has not changed since

    async def publish(self, run: str, stage: str, number: int, outputs: Iterable[str]) -> dict[str, ArtifactRecord]:
        """Check, hash and seal what an attempt wrote."""
        published: dict[str, ArtifactRecord] = {}
        for name in outputs:
            path = self._layout.output(run, stage, number, name)
            location = self._layout.location(path)
            try:
                small = is_small(path)
            except FileNotFoundError:
                raise missing(name, path.parent) from None
            if small:
                published[name] = describe(path, location, seal=True)
            else:
                published[name] = await asyncio.to_thread(describe, path, location, seal=True)
        return published

    async def bring(self, uri: str) -> ArtifactRecord:
        """An input from outside, as it is now, kept by its content."""
        source = local_path(uri)
        if source is not None:
            self._reach.path(source, uri)
            if not source.exists():
                raise absent(uri, source)
            return await asyncio.to_thread(self._copied, source, uri)
        if is_web(uri):
            async with self._new() as new:
                await download(uri, new, self._reach)
                return await asyncio.to_thread(self._kept, new, uri)
        found = await self._buckets.find(uri)
        if known := self._unchanged(found.mark):
            return replace(known, uri=uri)
        async with self._new() as new:
            await _fetch(found, new)
            return self._remembered(found.mark, await asyncio.to_thread(self._kept, new, uri))

    async def export(self, record: ArtifactRecord, uri: str) -> None:
        """Copy a published artifact to where its `uri` says: in one step, but for folders in an object store."""
        path = self._layout.artifact(record.location)
        target = local_path(uri)
        if target is not None:
            self._reach.path(target, uri, write=True)
            await asyncio.to_thread(copy.replace, path, target)
            return
        if is_web(uri):
            raise ArtifactError(f"{uri}: nothing can be written there", hint="file://, s3://, gs:// and az:// work")
        bucket, key = self._buckets.of(uri)
        await put(path, record.kind, bucket, key.rstrip("/"))

    async def open(self, record: ArtifactRecord, inside: str = "") -> Content:
        """An artifact's content, or that of a file or folder inside of it. Raises NotFound."""
        root = self._layout.artifact(record.location).resolve()
        try:
            real = (root / inside).resolve()
            there = real.is_relative_to(root) and real.exists()
        except (ValueError, OSError):  # no path at all: a null byte, a name that is too long, links in a circle
            there = False
        if not there:
            raise NotFound(f"the artifact has no {inside[:200] or 'content any more'}")
        if real.is_dir():
            path = real.relative_to(root).as_posix()
            members = await asyncio.to_thread(lambda: below(survey(root), path))
            return Content("folder", 0, members, on_disk(real))
        return Content("file", real.stat().st_size, (), on_disk(real))

    async def has(self, record: ArtifactRecord) -> bool:
        """Whether its content is (still) there."""
        return self._layout.artifact(record.location).exists()

    async def check(self, record: ArtifactRecord) -> None:
        """Whether it is there and as large as it was, and a small file's hash; one from outside is brought anew later.

        The hash of what is large is not looked at: that would take as long as the stage that reads it.
        """
        path = self._layout.artifact(record.location)
        small = record.kind == "file" and record.bytes <= SMALL
        why = _damage(path, record) if small else await asyncio.to_thread(_damage, path, record)
        if not why:
            return
        if path.parent == self._layout.inputs and path.exists():
            await asyncio.to_thread(remove, path)
        again = "run what wrote it again: khantui retry RUN --from STAGE"
        if path.parent == self._layout.inputs:
            again = f"start a new run: it is read anew from {record.uri}" if record.uri else "start a new run"
        raise ArtifactError(f"{record.location} is not what was published: {why}", hint=again)

    async def remove(self, run: str) -> None:
        """Remove all that a run's attempts left behind."""
        await asyncio.to_thread(remove, self._layout.attempts / run)

    async def prune(self, used: Collection[str], before: datetime) -> int:
        """Remove inputs from outside that are at none of these locations, and were last asked for before that."""
        return await asyncio.to_thread(self._prune, frozenset(used), before.timestamp())

    def _prune(self, used: Collection[str], before: float) -> int:
        removed = 0
        for path in list(self._layout.inputs.iterdir()) if self._layout.inputs.exists() else []:
            with contextlib.suppress(FileNotFoundError):  # it was moved to where it belongs
                info, new = path.lstat(), path.name.startswith(".")
                if max(info.st_atime, info.st_mtime if new else 0) >= before or self._layout.location(path) in used:
                    continue
                if new:  # a daemon that was killed has left it
                    remove(path)
                elif (away := _taken_away(path, info.st_atime_ns)) is not None:
                    remove(away)
                    removed += 1
        return removed

    @asynccontextmanager
    async def _new(self) -> AsyncIterator[Path]:
        """A place beside the inputs; what is left there is removed."""
        self._layout.inputs.mkdir(parents=True, exist_ok=True)
        new = self._layout.inputs / f".{secrets.token_hex(8)}.new"
        try:
            yield new
        finally:
            if new.exists():
                await asyncio.to_thread(remove, new)

    def _unchanged(self, mark: object) -> ArtifactRecord | None:
        known = self._known.get(mark) if mark else None
        return known if known and _asked_for(self._layout.artifact(known.location)) else None

    def _remembered(self, mark: object, record: ArtifactRecord) -> ArtifactRecord:
        if mark:
            self._known[mark] = record
        return record

    def _copied(self, source: Path, uri: str) -> ArtifactRecord:
        info = source.stat()
        mark = (str(source.resolve()), info.st_size, info.st_mtime_ns, info.st_ino) if source.is_file() else None
        if known := self._unchanged(mark):
            return replace(known, uri=uri)
        self._layout.inputs.mkdir(parents=True, exist_ok=True)
        new = self._layout.inputs / f".{secrets.token_hex(8)}.new"
        try:
            copy.copy(source, new)
            if source.is_file() and source.stat().st_mtime_ns != info.st_mtime_ns:
                raise ArtifactError(f"{uri} changed while it was read")
            return self._remembered(mark, self._kept(new, uri))
        except OSError as error:
            if no_room(error):
                raise ArtifactError(
                    f"there is no room for {uri}: the disk of the data folder is full", hint="make room"
                ) from error
            raise ArtifactError(f"cannot read {uri}: {error.strerror}") from error
        finally:
            if new.exists():
                remove(new)

    def _kept(self, new: Path, uri: str) -> ArtifactRecord:
        """What was brought to `new`, moved to where its content belongs."""
        record = describe(new, seal=True)
        target = self._layout.inputs / record.sha256
        if not _asked_for(target):
            if new.is_dir():
                new.chmod(0o755)  # a folder that is read-only cannot be renamed
            new.rename(target)
            _asked_for(target)
        return replace(record, location=self._layout.location(target), uri=uri)


def _asked_for(path: Path) -> bool:
    """Whether it is there; if so it is noted that it was asked for, and who prunes leaves it alone."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return False
    return True


def _taken_away(path: Path, asked: int) -> Path | None:
    """Where it was moved, so that nobody finds it; None if it was asked for meanwhile, and is where it was."""
    away = path.with_name(f".{secrets.token_hex(8)}.old")
    if path.is_dir():
        path.chmod(0o755)  # a folder that is read-only cannot be renamed
    path.rename(away)
    if away.lstat().st_atime_ns == asked or path.exists():
        return away
    away.rename(path)
    return None


def _damage(path: Path, record: ArtifactRecord) -> str:
    """What is wrong with an artifact, as far as that is soon seen; nothing if it looks right."""
    try:
        info = path.lstat()
        if stat.S_ISDIR(info.st_mode) != (record.kind == "folder"):
            return f"it is no {record.kind} any more"
        if record.kind == "folder":
            sizes = [member.bytes for member in survey(path) if member.is_file]
            if (len(sizes), sum(sizes)) != (record.files, record.bytes):
                return f"it has {len(sizes)} files of {sum(sizes)} bytes instead of {record.files} of {record.bytes}"
        elif info.st_size != record.bytes:
            return f"it has {info.st_size} bytes instead of {record.bytes}"
        elif record.bytes <= SMALL and digest_of(path) != record.sha256:
            return "its content was changed, or is damaged"
    except FileNotFoundError:
        return "it is not there any more"
    except (OSError, ArtifactError) as error:
        return str(error)
    return ""


async def put(path: Path, kind: str, bucket: Bucket, key: str) -> None:
    """Upload a file or a folder to where others look for it. Raises ArtifactError."""
    if kind == "file":
        await send_file(path, path.stat().st_size, bucket, key)
        return
    members = await asyncio.to_thread(lambda: [hashed(path, member) for member in survey(path)])
    sizes = {member.path: member.bytes for member in members}

    async def upload(inner: str, to: str) -> None:
        await send_file(path / inner, sizes[inner], bucket, to)

    await put_folder(members, bucket, key, upload)


async def _fetch(found: Found, target: Path) -> None:
    if found.kind == "file":
        await receive_file(found.bucket, found.files[0][1], target)
        return
    target.mkdir()
    for path, _ in found.files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
    await several(found.files, lambda item: receive_file(found.bucket, item[1], target / item[0]))
