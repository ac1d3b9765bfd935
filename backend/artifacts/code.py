"""Code bundles: what travels with a document, unpacked once for each content and never changed again."""

from __future__ import annotations

import asyncio
import io
import logging
import secrets
import tarfile
from pathlib import Path, PurePosixPath

from backend.artifacts.content import describe, remove
from backend.artifacts.manifest import bundle_of
from backend.errors import ArtifactError, InvalidRequest, NotFound
from backend.layout import Layout
from backend.objects.bucket import Bucket
from backend.room import no_room
from backend.spec.bundle import DEEPEST, LARGEST, MOST, address

log = logging.getLogger(__name__)


class CodeStore:
    """The bundles of one data folder; and of an object store, where others find them who have another folder."""

    def __init__(self, layout: Layout, bucket: Bucket | None = None) -> None:
        self._layout = layout
        self._bucket = bucket
        self._stored: set[str] = set()  # what is surely in the bucket
        self._keeping = asyncio.Lock()
        self._good: set[str] = set()  # bundles here whose files were looked at, and are as they were

    async def put(self, bundle: bytes) -> str:
        """Keep a bundle: its address. Raises InvalidRequest for what is no safe bundle, ObjectStoreError."""
        where = address(bundle)
        await self._keep(bundle, where)
        if self._bucket is not None and not await self._is_stored(where):
            await self._bucket.put(bundle_of(where), bundle)
            self._stored.add(where)
        return where

    async def has(self, where: str) -> bool:
        """Whether the bundle is here and whole: in the object store, if there is one."""
        return await self._is_good(where) if self._bucket is None else await self._is_stored(where)

    async def path(self, where: str) -> Path:
        """The folder with its files; it is fetched if it is in the object store alone. Raises NotFound."""
        path = self._layout.bundle(where)
        if not await self._is_good(where):
            if self._bucket is None or not await self._is_stored(where):
                raise missing_code(where)
            await self._keep(await self._bucket.get(bundle_of(where)), where)
        return path

    async def manifest(self, where: str) -> dict[str, int]:
        """Its files and their sizes in bytes. Raises NotFound."""
        root = await self.path(where)
        return {p.relative_to(root).as_posix(): p.stat().st_size for p in sorted(root.rglob("*")) if p.is_file()}

    async def _is_stored(self, where: str) -> bool:
        assert self._bucket is not None
        if where not in self._stored and await self._bucket.head(bundle_of(where)) is not None:
            self._stored.add(where)
        return where in self._stored

    async def _keep(self, bundle: bytes, where: str) -> None:
        target = self._layout.bundle(where)
        async with self._keeping:
            damaged = target.is_dir()
            if await self._is_good(where):
                return
            if damaged:
                await asyncio.to_thread(remove, target)
            await asyncio.to_thread(unpack, bundle, target)
            self._good.add(where)

    async def _is_good(self, where: str) -> bool:
        """Whether its files are here, and as they were unpacked; they are looked at once in a process' life."""
        path = self._layout.bundle(where)
        if not path.is_dir():
            self._good.discard(where)
            return False
        if where not in self._good:
            if not await asyncio.to_thread(_whole, path):
                log.error("the code bundle %s is damaged", path)
                return False
            self._good.add(where)
        return True


def _sum(path: Path) -> Path:
    """The file beside a bundle's folder with the hash of what was unpacked there."""
    return path.with_name(f"{path.name}.sum")


def _whole(path: Path) -> bool:
    """Whether a bundle's files are what was unpacked; one without a hash, of an earlier version, is taken for that."""
    try:
        wanted = _sum(path).read_text().strip()
    except FileNotFoundError:
        return True
    try:
        return describe(path).sha256 == wanted
    except (OSError, ArtifactError):
        return False


def missing_code(where: str) -> NotFound:
    """The error that says that a bundle is not there, or of no use."""
    return NotFound(f"the code bundle {where[:12]} is not here, or damaged", hint="apply the pipeline again")


def unpack(bundle: bytes, target: Path) -> None:
    """Unpack a bundle as the folder `target`, read-only, whole or not at all. Raises InvalidRequest."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.parent / f".{secrets.token_hex(8)}.new"
    new.mkdir()
    try:
        new.chmod(0o755)
        unpack_into(bundle, new)
        _sum(target).write_text(describe(new).sha256)
        try:
            new.rename(target)
        except OSError:  # another was faster: what is there is the same
            if not target.is_dir():
                raise
    finally:
        if new.exists():
            remove(new)


def unpack_into(bundle: bytes, folder: Path) -> None:
    """Unpack a bundle into a folder that is there and empty.

    Raises InvalidRequest for what is no safe bundle, OSError where there is no room for it.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:") as tar:
            _extract(tar, folder)
        for inner in folder.rglob("*"):  # the folder itself may be a mount, and somebody else's
            if inner.is_dir():
                inner.chmod(0o755)
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        if no_room(error):
            raise
        raise InvalidRequest(f"this is no code bundle: {error}") from error


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    size = count = 0
    folders: set[PurePosixPath] = set()
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise InvalidRequest(f"{member.name!r} in the bundle leads out of it")
        if member.isdir():
            continue
        if not member.isreg():
            raise InvalidRequest(f"{member.name!r} in the bundle is no plain file")
        if member.size < 0 or len(path.parts) > DEEPEST:
            raise InvalidRequest(
                f"{member.name[:80]!r} in the bundle is no plain file of at most {DEEPEST} folders' depth"
            )
        size, count = size + member.size, count + 1
        folders.update(path.parents)  # a path of some bytes could make hundreds of them
        if size > LARGEST or count > MOST or len(folders) > MOST:
            raise InvalidRequest(f"the bundle is larger than {LARGEST >> 20} MiB or {MOST:,} files and folders")
        source = tar.extractfile(member)
        assert source is not None
        target = folder.joinpath(*path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(source.read())
        target.chmod(0o555 if member.mode & 0o111 else 0o444)
