"""Artifacts on this machine: checked and hashed where stages left them, brought in from outside, copied out.

Nothing is moved when it is published: that an artifact is published is what the stage's record in the store says.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from backend.artifacts import copy
from backend.artifacts.content import describe, is_small, remove
from backend.errors import ArtifactError, NotFound
from backend.layout import Layout
from backend.run.state import ArtifactRecord


class ListedEntry(Struct, frozen=True):
    """A file in a folder artifact."""

    path: str
    bytes: int
    kind: str


class ArtifactStore:
    """The artifacts of one data folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: dict[tuple[str, int, int, int], str] = {}  # unchanged files that were brought in before

    async def publish(self, run: str, stage: str, number: int, outputs: Iterable[str]) -> dict[str, ArtifactRecord]:
        """Check, hash and seal what an attempt wrote. Raises ArtifactError for what is missing or unsafe."""
        published: dict[str, ArtifactRecord] = {}
        for name in outputs:
            path = self._layout.output(run, stage, number, name)
            location = path.relative_to(self._layout.root).as_posix()
            try:
                small = is_small(path)
            except FileNotFoundError:
                raise self._missing(path, name) from None
            if small:
                published[name] = describe(path, location, seal=True)
            else:
                published[name] = await asyncio.to_thread(describe, path, location, seal=True)
        return published

    async def bring(self, uri: str) -> ArtifactRecord:
        """An input from outside, as it is now, kept by its content. Raises ArtifactError."""
        source = _local(uri)
        if not source.exists():
            raise _absent(uri, source)
        return await asyncio.to_thread(self._bring, source, uri)

    async def export(self, path: Path, uri: str) -> None:
        """Copy a published artifact to where its `uri` says, in one step. Raises ArtifactError."""
        await asyncio.to_thread(copy.replace, path, _local(uri))

    async def remove(self, run: str) -> None:
        """Remove all that a run's attempts left behind."""
        await asyncio.to_thread(remove, self._layout.attempts / run)

    def path(self, record: ArtifactRecord, inside: str = "") -> Path:
        """Where an artifact lies, or a file or folder inside of it. Raises NotFound, also for what would lead out."""
        root = self._layout.artifact(record.location)
        path = root / inside if inside else root
        real = path.resolve()
        if not real.is_relative_to(root.resolve()) or not real.exists():
            raise NotFound(f"the artifact has no {inside or 'content any more'}")
        return path

    def entries(self, record: ArtifactRecord, limit: int = 1000) -> Iterator[ListedEntry]:
        """The files of a folder artifact, in order."""
        root = self.path(record)
        count = 0
        for parent, names, members in os.walk(root):
            names.sort()
            for name in sorted(members):
                member = Path(parent, name)
                kind = "link" if member.is_symlink() else "file"
                yield ListedEntry(member.relative_to(root).as_posix(), member.lstat().st_size, kind)
                count += 1
                if count >= limit:
                    return

    def _missing(self, path: Path, name: str) -> ArtifactError:
        there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        wrote = f"it wrote {', '.join(there[:5])}" if there else "it wrote nothing"
        variable = f"$KHAN_OUTPUT_{name.replace('-', '_')}"
        return ArtifactError(f"the output {name!r} is missing: {wrote}", hint=f"write it to {variable}")

    def _bring(self, source: Path, uri: str) -> ArtifactRecord:
        info = source.stat()
        mark = (str(source.resolve()), info.st_size, info.st_mtime_ns, info.st_ino)
        if source.is_file() and mark in self._known:
            found = self._layout.inputs / self._known[mark]
            if found.exists():
                location = found.relative_to(self._layout.root).as_posix()
                return ArtifactRecord("file", info.st_size, 1, self._known[mark], location, uri)
        self._layout.inputs.mkdir(parents=True, exist_ok=True)
        new = self._layout.inputs / f".{secrets.token_hex(8)}.new"
        try:
            copy.copy(source, new)
            record = describe(new, seal=True)
            if source.is_file() and source.stat().st_mtime_ns != info.st_mtime_ns:
                raise ArtifactError(f"{uri} changed while it was read")
            target = self._layout.inputs / record.sha256
            if not target.exists():
                if new.is_dir():
                    new.chmod(0o755)  # a folder that is read-only cannot be renamed
                new.rename(target)
        except OSError as error:
            raise ArtifactError(f"cannot read {uri}: {error.strerror}") from error
        finally:
            if new.exists():
                remove(new)
        if record.kind == "file":
            self._known[mark] = record.sha256
        return replace(record, location=target.relative_to(self._layout.root).as_posix(), uri=uri)


def _local(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ArtifactError(
            f"{parts.scheme or 'an address without a scheme'}: cannot be reached yet ({uri})", hint="file:// works"
        )
    if parts.netloc not in ("", "localhost"):
        raise ArtifactError(f"{uri} is on another machine", hint="file:///… with three slashes")
    return Path(unquote(parts.path))


def _absent(uri: str, path: Path) -> ArtifactError:
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    if parent != path.parent:
        return ArtifactError(f"{uri} is not there: {parent} has no {path.relative_to(parent).parts[0]!r}")
    near = get_close_matches(path.name, [p.name for p in parent.iterdir()][:5000], 1)
    hint = f"there is {near[0]!r}" if near else ""
    return ArtifactError(f"{uri} is not there", hint=hint)
