"""An artifact's content for whoever asks: a file's bytes or a part of them, a folder as a tar."""

from __future__ import annotations

import asyncio
import os
import posixpath
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from backend.artifacts.content import EXECUTABLE, FOLDER, LINK, Member
from backend.errors import NotFound

Reader = Callable[[str, int, int], AsyncIterator[bytes]]  # of the file at a path inside: from an offset to another

STEP = 1 << 20  # bytes that are read from a disk at once


class Content:
    """A file (`bytes` long) or a folder (with `members`)."""

    def __init__(self, kind: str, size: int, members: Iterable[Member], read: Reader) -> None:
        self.kind = kind
        self.bytes = size
        self._members = members
        self._read = read

    async def read(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """A file's bytes from `start` up to `end`."""
        async for data in self._read("", start, self.bytes if end is None else min(end, self.bytes)):
            yield data

    async def tar(self) -> AsyncIterator[bytes]:
        """A folder as a tar, piece by piece."""
        for member in self._members:
            yield _header(member)
            if member.is_file:
                async for data in self._read(member.path, 0, member.bytes):
                    yield data
                if member.bytes % 512:
                    yield b"\0" * (512 - member.bytes % 512)
        yield b"\0" * 1024


def inside(members: list[Member], path: str) -> tuple[str, Member | None]:
    """What lies at a path in a folder: its path when links are followed, and the member; None is a folder.

    Raises NotFound, also for what would lead out.
    """
    known = {member.path: member for member in members}
    for _ in range(40):
        path = posixpath.normpath(path)
        found = known.get(path)
        if path.startswith(("../", "/")) or path == "..":
            break
        if found is not None and found.kind == LINK:
            path = posixpath.join(posixpath.dirname(path), found.value)
        elif found is not None and found.is_file:
            return path, found
        elif found is not None or path == "." or any(known_path.startswith(f"{path}/") for known_path in known):
            return path, None
        else:
            above = next((p for p in _above(path) if p in known and known[p].kind == LINK), "")
            if not above:
                break
            path = posixpath.join(posixpath.dirname(above), known[above].value, posixpath.relpath(path, above))
    raise NotFound(f"the artifact has no {path}")


def below(members: Iterable[Member], path: str) -> list[Member]:
    """The members of the folder at a path in a folder, seen from there, in order."""
    prefix = "" if path == "." else f"{path}/"
    found = (m for m in members if m.path.startswith(prefix))
    return sorted(
        (Member(m.path[len(prefix) :], m.kind, m.value, m.bytes, m.modified) for m in found), key=lambda m: m.path
    )


def on_disk(root: Path) -> Reader:
    """Reads files below a folder, or the file `root` itself."""

    async def read(path: str, start: int, end: int) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(os.open, root / path if path else root, os.O_RDONLY)
        try:
            while start < end and (data := await asyncio.to_thread(os.pread, file, min(STEP, end - start), start)):
                yield data
                start += len(data)
        finally:
            os.close(file)

    return read


def _above(path: str) -> Iterable[str]:
    while path := posixpath.dirname(path):
        yield path


def _header(member: Member) -> bytes:
    header = tarfile.TarInfo(member.path)
    header.mtime = member.modified
    if member.kind == LINK:
        header.type, header.linkname = tarfile.SYMTYPE, member.value
    elif member.kind == FOLDER:
        header.type, header.mode = tarfile.DIRTYPE, 0o755
    else:
        header.size, header.mode = member.bytes, 0o755 if member.kind == EXECUTABLE else 0o644
    return header.tobuf(tarfile.PAX_FORMAT)
