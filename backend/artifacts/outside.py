"""What lies outside of the artifact store: files of this machine, objects, and what the web has."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from backend.artifacts.content import FILE, FOLDER, LINK, Member
from backend.artifacts.manifest import mark_of, pack, unpack
from backend.artifacts.reach import Reach
from backend.artifacts.reading import inside
from backend.artifacts.transfer import several
from backend.errors import ArtifactError, InvalidRequest, ObjectStoreError
from backend.objects.bucket import Bucket, Head, open_bucket, split
from backend.objects.names import key_of

MARK = ".khantui.json"  # in a folder that was exported: what it holds; written when all of it is there
_LOOKED_AT = 1000  # objects beside one that is not there, for a name like it

Putter = Callable[[str, str], Awaitable[None]]


class Found(NamedTuple):
    """An object, or all objects below a prefix."""

    bucket: Bucket
    kind: str
    files: list[tuple[str, Head]]  # relative path ("" of a file) and object

    @property
    def mark(self) -> str:
        """Is the same for as long as nothing of it changes; empty where that cannot be told."""
        if not all(head.version for _, head in self.files):
            return ""
        parts = (f"{path}\0{head.bytes}\0{head.version}" for path, head in self.files)
        return mark_of([self.bucket.url, *parts])


class Buckets:
    """Buckets that documents name, each opened once."""

    def __init__(self) -> None:
        self._open: dict[str, Bucket] = {}

    def of(self, uri: str) -> tuple[Bucket, str]:
        """The bucket of a URI, and the key in it. Raises ArtifactError."""
        try:
            root, key = split(uri)
            if root not in self._open:
                self._open[root] = open_bucket(root, ours=False)
        except InvalidRequest as error:
            raise ArtifactError(error.message, hint=error.hint) from error
        return self._open[root], key

    async def find(self, uri: str) -> Found:
        """What there is at a URI. Raises ArtifactError if nothing is."""
        bucket, key = self.of(uri)
        if key and not key.endswith("/") and (head := await bucket.head(key)) is not None:
            return Found(bucket, "file", [("", head)])
        prefix = key.rstrip("/")
        start = len(prefix) + 1 if prefix else 0
        files = [(h.key[start:], h) async for h in bucket.below(prefix) if not h.key.endswith("/")]
        files = [(path, head) for path, head in files if path != MARK]
        if not files and await bucket.head(f"{prefix}/{MARK}".lstrip("/")) is None:
            raise await _absent_object(bucket, key)
        _check(uri, [path for path, _ in files])
        return Found(bucket, "folder", sorted(files))


def _check(uri: str, paths: list[str]) -> None:
    """Raises ArtifactError for objects that cannot be files of one folder."""
    known = set(paths)
    for path in paths:
        parts = path.split("/")
        if not {"", ".", ".."}.isdisjoint(parts):
            raise ArtifactError(f"{uri} has an object {path!r}, which is no path of a file")
        for i in range(1, len(parts)):
            if (above := "/".join(parts[:i])) in known:
                raise ArtifactError(f"{uri} has an object {above!r} and others below {above + '/'!r}")


async def _absent_object(bucket: Bucket, key: str) -> ArtifactError:
    parent, _, name = key.rstrip("/").rpartition("/")
    start = len(parent) + 1 if parent else 0
    names: set[str] = set()
    listed = bucket.below(parent)
    async for head in listed:
        names.add(head.key[start:].partition("/")[0])
        if len(names) >= _LOOKED_AT:
            break
    near = get_close_matches(name, names, 1)
    return ArtifactError(f"{bucket.uri(key)} is not there", hint=f"there is {near[0]!r}" if near else "")


async def digest_of(bucket: Bucket, head: Head) -> str:
    """The SHA-256 of an object, which is read for it."""
    digest = hashlib.sha256()
    async for block in bucket.read(head):
        await asyncio.to_thread(digest.update, block)
    return digest.hexdigest()


async def hashed(found: Found) -> list[Member]:
    """The members of a folder of objects: each is read for its hash. Folders follow from the files' paths."""
    members: list[Member] = []

    async def one(item: tuple[str, Head]) -> None:
        path, head = item
        members.append(Member(path, FILE, await digest_of(found.bucket, head), head.bytes))

    await several(found.files, one, at_once=4)
    above = {parent.as_posix() for path, _ in found.files for parent in Path(path).parents}
    return sorted([*members, *(Member(p, FOLDER) for p in above - {"."})], key=lambda m: m.path)


async def pass_on(source: Bucket, found: Head, target: Bucket, key: str) -> None:
    """Copy an object to another bucket, through this process."""
    await target.upload(key, source.read(found), found.bytes)


def local_path(uri: str) -> Path | None:
    """The path of a `file://` address; None for another kind. Raises ArtifactError for another machine's."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        return None
    if parts.netloc not in ("", "localhost"):
        raise ArtifactError(f"{uri} is on another machine", hint="file:///… with three slashes")
    return Path(unquote(parts.path))


def absent(uri: str, path: Path) -> ArtifactError:
    """The error that says that there is no such file, and what there is instead."""
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    if parent != path.parent:
        return ArtifactError(f"{uri} is not there: {parent} has no {path.relative_to(parent).parts[0]!r}")
    near = get_close_matches(path.name, [p.name for p in parent.iterdir()][:5000], 1)
    hint = f"there is {near[0]!r}" if near else ""
    return ArtifactError(f"{uri} is not there", hint=hint)


def is_web(uri: str) -> bool:
    """Whether it is to be had over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


async def download(uri: str, target: Path, reach: Reach) -> None:
    """Write what an http:// or https:// address answers to a file. Raises ArtifactError."""
    import httpx

    try:
        async with (
            reach.client() as client,
            # a few bytes of other codings, or of one within another, can become gigabytes in memory
            client.stream("GET", uri, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status_code != 200:
                why = f"{response.status_code} {response.reason_phrase}".strip()
                raise ArtifactError(f"{uri} is not to be had: {why}")
            packed = response.headers.get("content-encoding", "identity").lower()
            if packed not in ("identity", "gzip"):
                raise ArtifactError(f"{uri} is not to be had: it is sent as {packed[:40]}, which nobody has asked for")
            with target.open("wb") as file:
                async for data in response.aiter_bytes(1 << 20):
                    await asyncio.to_thread(file.write, data)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ObjectStoreError(f"{uri} cannot be read: {error or type(error).__name__}") from error


async def put_folder(members: list[Member], bucket: Bucket, key: str, put: Putter) -> None:
    """Replace the folder of objects at `key`: `put(path, key)` writes the file at a path of the folder to a key.

    What an earlier export left there and is not written again is removed, nothing else. The list of what is there
    comes last. Links become copies of what they lead to: object stores have none.
    """
    sources = _sources(members)
    mark = f"{key}/{MARK}"
    earlier = unpack(await bucket.get(mark), bucket.uri(mark)) if await bucket.head(mark) is not None else []
    await several(sources.items(), lambda item: put(item[1].path, f"{key}/{key_of(item[0])}"))
    stale = {m.path for m in earlier if m.is_file} - sources.keys()
    await bucket.delete(f"{key}/{key_of(path)}" for path in sorted(stale))
    if await bucket.head(key) is not None:  # a file was there
        await bucket.delete([key])
    listed = [Member(path, m.kind, m.value, m.bytes) for path, m in sources.items()]
    await bucket.put(mark, pack(listed))


def _sources(members: list[Member]) -> dict[str, Member]:
    """The file that each path of the folder stands for. Raises ArtifactError for links to folders."""
    found: dict[str, Member] = {}
    for member in members:
        if member.is_file:
            found[member.path] = member
        elif member.kind == LINK:
            _, leads = inside(members, member.path)
            if leads is None:
                raise ArtifactError(
                    f"{member.path!r} is a link to a folder, which an object store cannot have",
                    hint="copy what it leads to",
                )
            found[member.path] = leads
    return found
