"""Artifacts in an object store: pods fetch and publish them by themselves, the daemon reads what they said.

How they lie there is in `backend.artifacts.manifest`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Iterable
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from backend.artifacts import copy
from backend.artifacts.content import FILE, describe, folder_record, remove
from backend.artifacts.manifest import (
    KEYS,
    attempt_of,
    input_of,
    manifest_of,
    object_of,
    outputs_of,
    pack,
    unpack_outputs,
)
from backend.artifacts.outside import (
    Buckets,
    Found,
    absent,
    digest_of,
    download,
    hashed,
    is_web,
    local_path,
    pass_on,
    put_folder,
)
from backend.artifacts.reach import Reach
from backend.artifacts.reading import Content, Reader, below, inside
from backend.artifacts.transfer import gone, members_of, receive, send, several
from backend.errors import ArtifactError, NotFound, ObjectStoreError
from backend.layout import Layout
from backend.objects.bucket import Bucket, Head, split
from backend.run.state import ArtifactRecord


class ObjectStore:
    """The artifacts below one bucket's URL. `layout` is where what must lie on a disk for a moment does."""

    def __init__(self, bucket: Bucket, layout: Layout, reach: Reach | None = None) -> None:
        self._bucket = bucket
        self._layout = layout
        self._buckets = Buckets()
        self._reach = reach or Reach()
        self._root, self._prefix = split(bucket.url)
        self._known: dict[str, ArtifactRecord] = {}  # what was brought in before and has not changed since

    async def publish(self, run: str, stage: str, number: int, outputs: Iterable[str]) -> dict[str, ArtifactRecord]:
        """What the attempt's publisher says that it has published."""
        key = outputs_of(attempt_of(run, stage, number))
        if await self._bucket.head(key) is None:
            raise ObjectStoreError(f"its outputs were not published: {self._bucket.uri(key)} is not there")
        published = unpack_outputs(await self._bucket.get(key), self._bucket.uri(key))
        if lacking := [name for name in outputs if name not in published]:
            there = ", ".join(published) or "nothing"
            raise ArtifactError(f"the output {lacking[0]!r} is missing: {there} was published")
        return {name: published[name] for name in outputs}

    async def bring(self, uri: str) -> ArtifactRecord:
        """An input from outside, as it is now, kept by its content."""
        source = local_path(uri)
        if source is not None:
            self._reach.path(source, uri)
            if not source.exists():
                raise absent(uri, source)
            record = await asyncio.to_thread(describe, source)
            return await self._sent(source, record, uri)
        if is_web(uri):
            self._layout.inputs.mkdir(parents=True, exist_ok=True)
            new = self._layout.inputs / f".{secrets.token_hex(8)}.new"
            try:
                await download(uri, new, self._reach)
                return await self._sent(new, await asyncio.to_thread(describe, new), uri)
            finally:
                new.unlink(missing_ok=True)
        found = await self._buckets.find(uri)
        known = self._known.get(found.mark) if found.mark else None
        if known is None or not await self.has(known):
            known = await self._passed_on(found, uri)
            if found.mark:
                self._known[found.mark] = known
        return replace(known, uri=uri)

    async def export(self, record: ArtifactRecord, uri: str) -> None:
        """Copy a published artifact to where its `uri` says; the store copies by itself within one bucket."""
        target = local_path(uri)
        if target is not None:
            self._reach.path(target, uri, write=True)
            new = copy.beside(target)
            try:
                await receive(self._bucket, record.location, record.kind, new, seal=False)
                await asyncio.to_thread(copy.place, new, target)
            finally:
                await asyncio.to_thread(remove, new)
            return
        if is_web(uri):
            raise ArtifactError(f"{uri}: nothing can be written there", hint="file://, s3://, gs:// and az:// work")
        bucket, key = self._buckets.of(uri)
        key = key.rstrip("/")
        if record.kind == "file":
            await self._copy_out(await self._object(record.location), bucket, key)
            return
        members = await members_of(self._bucket, record.location)
        known = {member.path: member for member in members}

        async def write(path: str, to: str) -> None:
            member = known[path]
            await self._copy_out(Head(object_of(record.location, member), member.bytes, ""), bucket, to)

        await put_folder(members, bucket, key, write)

    async def open(self, record: ArtifactRecord, inside_: str = "") -> Content:
        """An artifact's content, or that of a file or folder inside of it. Raises NotFound."""
        try:
            if record.kind == "file" and inside_.strip("/.") == "":
                found = await self._object(record.location)
                return Content("file", found.bytes, (), self._reader({"": found}))
            if record.kind == "file":
                raise NotFound(f"the artifact has no {inside_}: it is a file")
            members = await members_of(self._bucket, record.location)
        except ArtifactError as error:
            if type(error) is ArtifactError:
                raise NotFound("the artifact has no content any more") from error
            raise
        path, member = inside(members, inside_ or ".")
        if member is not None:
            found = Head(object_of(record.location, member), member.bytes, "")
            return Content("file", member.bytes, (), self._reader({"": found}))
        seen = below(members, path)
        prefix = record.location if path == "." else f"{record.location}/{path}"
        heads = {m.path: Head(object_of(prefix, m), m.bytes, "") for m in seen if m.is_file}
        return Content("folder", 0, seen, self._reader(heads))

    async def has(self, record: ArtifactRecord) -> bool:
        """Whether its content is (still) there."""
        key = record.location if record.kind == "file" else manifest_of(record.location)
        return await self._bucket.head(key) is not None

    async def check(self, record: ArtifactRecord) -> None:
        """Nothing: the pod that fetches it compares each object's hash on the way."""

    async def remove(self, run: str) -> None:
        """Remove all that a run's attempts left behind, here and in the store."""
        prefix = (KEYS.attempts / run).as_posix()
        await self._bucket.delete([head.key async for head in self._bucket.below(prefix)])
        await asyncio.to_thread(remove, self._layout.attempts / run)

    # inputs

    async def prune(self, used: Collection[str], before: datetime) -> int:
        """None: while one is found unused, another run may find that it is there and need not be brought."""
        return 0

    async def _sent(self, path: Path, record: ArtifactRecord, uri: str) -> ArtifactRecord:
        """What lies on this disk, uploaded unless it is in the store already."""
        record = replace(record, location=input_of(record.sha256), uri=uri)
        if not await self.has(record):
            sent = await send(path, self._bucket, record.location)
            if sent.sha256 != record.sha256:
                await self._forget(record)
                raise ArtifactError(f"{uri} changed while it was read")
        return record

    async def _passed_on(self, found: Found, uri: str) -> ArtifactRecord:
        """Objects from outside: read for their hashes, then copied unless they are in the store already."""
        if found.kind == "file":
            head = found.files[0][1]
            digest = await digest_of(found.bucket, head)
            record = ArtifactRecord("file", head.bytes, 1, digest, input_of(digest))
            if not await self.has(record):
                await self._copy_in(found.bucket, head, record.location)
            return record
        members = await hashed(found)
        record = folder_record(members)
        record = replace(record, location=input_of(record.sha256))
        if not await self.has(record):
            heads = dict(found.files)
            await several(
                (m for m in members if m.kind == FILE),
                lambda m: self._copy_in(found.bucket, heads[m.path], object_of(record.location, m)),
            )
            await self._bucket.put(manifest_of(record.location), pack(members))
        return record

    async def _copy_in(self, source: Bucket, head: Head, key: str) -> None:
        if head.version and source.url == self._root and await source.copy(head, self._whole(key)):
            now = await source.head(head.key)
            if now is None or now.version != head.version:
                await self._bucket.delete([key])
                raise ArtifactError(f"{source.uri(head.key)} changed while it was read")
            return
        await pass_on(source, head, self._bucket, key)

    async def _copy_out(self, found: Head, bucket: Bucket, key: str) -> None:
        if bucket.url == self._root and await bucket.copy(replace(found, key=self._whole(found.key)), key):
            return
        await pass_on(self._bucket, found, bucket, key)

    def _whole(self, key: str) -> str:
        """A key of ours, as its bucket has it."""
        return f"{self._prefix}/{key}" if self._prefix else key

    async def _object(self, key: str) -> Head:
        found = await self._bucket.head(key)
        if found is None:
            raise gone(self._bucket, key)
        return found

    async def _forget(self, record: ArtifactRecord) -> None:
        keys = [manifest_of(record.location), record.location]
        keys += [head.key async for head in self._bucket.below(record.location)]
        await self._bucket.delete(keys)

    def _reader(self, heads: dict[str, Head]) -> Reader:
        def read(path: str, start: int, end: int) -> AsyncIterator[bytes]:
            return self._bucket.read(heads[path], start, end)

        return read
