"""Code bundles: what travels with a document, unpacked once for each content and never changed again."""

from __future__ import annotations

import asyncio
import io
import secrets
import tarfile
from pathlib import Path, PurePosixPath

from backend.artifacts.content import remove
from backend.errors import InvalidRequest, NotFound
from backend.layout import Layout
from backend.spec.bundle import LARGEST, MOST, address


class CodeStore:
    """The bundles of one data folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    async def put(self, bundle: bytes) -> str:
        """Keep a bundle: its address. Raises InvalidRequest for what is no safe bundle."""
        where = address(bundle)
        if not self.has(where):
            await asyncio.to_thread(self._unpack, bundle, self._layout.bundle(where))
        return where

    def has(self, where: str) -> bool:
        """Whether the bundle is here."""
        return self._layout.bundle(where).is_dir()

    def path(self, where: str) -> Path:
        """The folder with its files. Raises NotFound."""
        path = self._layout.bundle(where)
        if not path.is_dir():
            raise NotFound(f"the code bundle {where[:12]} is not here", hint="apply the pipeline again")
        return path

    def manifest(self, where: str) -> dict[str, int]:
        """Its files and their sizes in bytes."""
        root = self.path(where)
        return {p.relative_to(root).as_posix(): p.stat().st_size for p in sorted(root.rglob("*")) if p.is_file()}

    def _unpack(self, bundle: bytes, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.parent / f".{secrets.token_hex(8)}.new"
        new.mkdir()
        try:
            with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:") as tar:
                _extract(tar, new)
            for folder in (*(p for p in new.rglob("*") if p.is_dir()), new):
                folder.chmod(0o755)
            if not target.exists():
                new.rename(target)
        except (tarfile.TarError, EOFError, ValueError, OSError) as error:
            raise InvalidRequest(f"this is no code bundle: {error}") from error
        finally:
            if new.exists():
                remove(new)


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    size = count = 0
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise InvalidRequest(f"{member.name!r} in the bundle leads out of it")
        if member.isdir():
            continue
        if not member.isreg():
            raise InvalidRequest(f"{member.name!r} in the bundle is no plain file")
        size, count = size + member.size, count + 1
        if size > LARGEST or count > MOST:
            raise InvalidRequest(f"the bundle is larger than {LARGEST >> 20} MiB or {MOST:,} files")
        source = tar.extractfile(member)
        assert source is not None
        target = folder.joinpath(*path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(source.read())
        target.chmod(0o555 if member.mode & 0o111 else 0o444)
