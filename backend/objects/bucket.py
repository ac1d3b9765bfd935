"""One place in an object store: objects below a URL, read and written as streams, never whole unless they are small."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from backend.errors import ArtifactError, InvalidRequest, ObjectStoreError, ObjectStoreUnavailable
from backend.objects.words import explained

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az", "file")
BLOCK = 8 << 20  # bytes that are read or written at once
AHEAD = 4  # blocks of one object that are under way at once
MOST_PARTS = 10_000  # of one multipart upload, by S3's own rule
COPYABLE = 5 << 30  # bytes of the largest object that S3 copies by itself
SILENCE = 60.0  # seconds without a byte after which a request has failed
PATIENCE = 60.0  # seconds for which a request that fails for the store's sake is tried again


class Head(Struct, frozen=True):
    """What is known of an object without reading it."""

    key: str
    bytes: int
    version: str  # changes when the object does; empty where the store does not say


def split(uri: str) -> tuple[str, str]:
    """A URI's bucket and key: `s3://b/x/y` is `s3://b` and `x/y`. Raises InvalidRequest."""
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise InvalidRequest(f"{uri} is in no object store that is known here", hint="s3://…, gs://… or az://…")
    if parts.scheme == "file":
        return "file:///", unquote(parts.path).strip("/")
    if not parts.netloc:
        raise InvalidRequest(f"{uri} names no bucket", hint=f"{parts.scheme}://BUCKET/PATH")
    return f"{parts.scheme}://{parts.netloc}", uri.partition("://")[2].partition("/")[2]


def open_bucket(url: str, *, patience: float | None = None, ours: bool = True) -> Bucket:
    """The objects below `url`: s3://bucket/prefix, gs://, az://container/prefix, file:///folder. Nothing is asked yet.

    Credentials, region and endpoint come from the environment (AWS_…, GOOGLE_…, AZURE_…). For `patience` seconds (60) a
    request that the store could not answer is tried again. Of a bucket that is not `ours` that it cannot be reached
    is an ObjectStoreError like any other, and no ObjectStoreUnavailable: nobody waits for it.
    Raises InvalidRequest for an address of another kind, ObjectStoreError for settings that make no sense.
    """
    from obstore.store import from_url

    root, prefix = split(url)
    options: dict[str, Any] = {}
    if root == "file:///":
        Path(f"/{prefix}").mkdir(parents=True, exist_ok=True)
    else:
        # an endpoint of plain http:// is meant; a body of any size takes as long as it takes, if only it goes on
        options["client_options"] = {"allow_http": True, "timeout": "1h", "read_timeout": timedelta(seconds=SILENCE)}
        options["retry_config"] = {
            "max_retries": 1000,
            "retry_timeout": timedelta(seconds=PATIENCE if patience is None else patience),
            "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
        }
    where = f"{root.rstrip('/')}/{prefix.strip('/')}".rstrip("/")
    try:
        return Bucket(where, from_url(where, **options), ours=ours)
    except Exception as error:
        raise explained(error, where) from error


class Bucket:
    """Objects below a URL. Keys are relative to it. All methods raise ArtifactErrors, as `words.explained` says."""

    def __init__(self, url: str, store: ObjectStore, *, ours: bool = True) -> None:
        self.url = url
        self._ours = ours
        self._store = store

    def uri(self, key: str) -> str:
        """The whole address of an object."""
        return f"{self.url}/{key}"

    async def head(self, key: str) -> Head | None:
        """What is known of an object; None if it is not there."""
        import obstore

        try:
            with self._explained(key):
                return _head(await obstore.head_async(self._store, key))
        except ArtifactError as error:
            if _is_absent(error):
                return None
            raise

    async def get(self, key: str) -> bytes:
        """A small object, whole."""
        import obstore

        with self._explained(key):
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    def size(self, key: str) -> int | None:
        """How many bytes an object has, None if it is not there; blocks the thread."""
        import obstore

        try:
            with self._explained(key):
                return int(obstore.head(self._store, key)["size"])
        except ArtifactError as error:
            if _is_absent(error):
                return None
            raise

    def part(self, key: str, start: int, size: int) -> bytes:
        """`size` bytes of an object from `start`; blocks the thread."""
        import obstore

        with self._explained(key):
            return bytes(obstore.get_range(self._store, key, start=start, length=size)) if size else b""

    async def read(self, found: Head, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """An object's bytes, as it was when `found` was asked for, in blocks; some are fetched ahead."""
        end = found.bytes if end is None else min(end, found.bytes)
        offsets = iter(range(start, end, BLOCK))
        ahead: deque[asyncio.Task[bytes]] = deque()
        try:
            while True:
                while len(ahead) < AHEAD and (offset := next(offsets, None)) is not None:
                    part = self._part(found, offset, min(BLOCK, end - offset))
                    ahead.append(asyncio.create_task(part))
                if not ahead:
                    return
                yield await ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def put(self, key: str, data: bytes) -> None:
        """Write a small object; it is there whole or not at all."""
        import obstore

        with self._explained(key):
            await obstore.put_async(self._store, key, data, use_multipart=False)

    async def upload(self, key: str, blocks: AsyncIterable[bytes], size: int) -> None:
        """Write an object of about `size` bytes from a stream; it is there whole or not at all."""
        import obstore

        part = max(BLOCK, -(-size // (MOST_PARTS - 100)))
        with self._explained(key):
            await obstore.put_async(self._store, key, blocks, chunk_size=part, max_concurrency=AHEAD)

    async def upload_file(self, key: str, path: Path) -> None:
        """Write an object from a file that does not change."""
        import obstore

        with self._explained(key):
            await obstore.put_async(self._store, key, path, chunk_size=BLOCK, max_concurrency=AHEAD)

    async def copy(self, found: Head, key: str) -> bool:
        """Let the store copy an object below this URL; False if it is too large for that."""
        import obstore

        if found.bytes > COPYABLE:
            return False
        with self._explained(found.key):
            await obstore.copy_async(self._store, found.key, key)
        return True

    async def below(self, prefix: str) -> AsyncIterator[Head]:
        """The objects whose keys begin with `prefix` and a slash, in no order."""
        import obstore

        found = obstore.list(self._store, prefix.rstrip("/") or None)
        try:
            async for some in found:
                for meta in some:
                    yield _head(meta)
        except Exception as error:
            raise self._said(error, prefix) from error

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; no error for those that are not there."""
        import obstore

        for some in _batches(keys, 1000):
            with self._explained(some[0]), contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(self._store, some)

    async def _part(self, found: Head, start: int, size: int) -> bytes:
        import obstore

        options: dict[str, Any] = {"range": (start, start + size)}
        if found.version:
            options["if_match"] = found.version
        with self._explained(found.key):
            data = bytes(await (await obstore.get_async(self._store, found.key, options=options)).bytes_async())  # type: ignore[arg-type]
        if len(data) != size:
            raise ArtifactError(f"{self.uri(found.key)} is shorter than it was")
        return data

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except ArtifactError:  # of what is written: a stream of another bucket's
            raise
        except Exception as error:
            raise self._said(error, key) from error

    def _said(self, error: Exception, key: str) -> ArtifactError:
        found = explained(error, self.uri(key))
        if isinstance(found, ObjectStoreUnavailable) and not self._ours:
            return ObjectStoreError(found.message, hint=found.hint)
        return found


def _is_absent(error: ArtifactError) -> bool:
    return isinstance(error.__cause__, FileNotFoundError) and type(error) is ArtifactError


def _head(meta: Any) -> Head:
    return Head(meta["path"], meta["size"], meta["e_tag"] or "")


def _batches(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    some: list[str] = []
    for key in keys:
        some.append(key)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
