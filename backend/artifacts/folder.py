"""Artifacts in a folder of this machine: checked and hashed where stages left them, never copied in between.

Nothing is moved when it is published: that an artifact is published is what the stage's record in the store says.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from backend.artifacts import copy
from backend.artifacts.content import describe, hashed, is_small, missing, remove, survey
from backend.artifacts.outside import Buckets, Found, absent, download, is_web, local_path, put_folder
from backend.artifacts.reach import Reach
from backend.artifacts.reading import Content, below, on_disk
from backend.artifacts.transfer import receive_file, send_file, several
from backend.errors import ArtifactError, NotFound
from backend.layout import Layout
from backend.objects.bucket import Bucket
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

    async def remove(self, run: str) -> None:
        """Remove all that a run's attempts left behind."""
        await asyncio.to_thread(remove, self._layout.attempts / run)

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
        return known if known and self._layout.artifact(known.location).exists() else None

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
            raise ArtifactError(f"cannot read {uri}: {error.strerror}") from error
        finally:
            if new.exists():
                remove(new)

    def _kept(self, new: Path, uri: str) -> ArtifactRecord:
        """What was brought to `new`, moved to where its content belongs."""
        record = describe(new, seal=True)
        target = self._layout.inputs / record.sha256
        if not target.exists():
            if new.is_dir():
                new.chmod(0o755)  # a folder that is read-only cannot be renamed
            new.rename(target)
        return replace(record, location=self._layout.location(target), uri=uri)


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
