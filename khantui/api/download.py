"""Artifacts to disk: whole or not at all, and nothing beside the place that was named."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from khantui.errors import Failure


class _Parts(io.RawIOBase):
    """Chunks as a file, read once from front to back."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as one chunk goes."""
        while not self._rest:
            try:
                self._rest = next(self._parts)
            except StopIteration:
                return 0
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


def save_file(parts: Iterator[bytes], target: Path) -> None:
    """Write a file beside its place and move it there. Raises Failure if something is there already."""
    _must_be_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).rename(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_folder(parts: Iterator[bytes], target: Path) -> None:
    """Unpack a tar stream into the folder `target`. Raises Failure for a member that would leave it."""
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    _must_be_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Parts(parts), 1 << 16), mode="r|*") as archive:
            archive.extractall(temporary, filter="data")
        temporary.chmod(0o755)
        temporary.rename(target)
    except tarfile.TarError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise Failure(f"the artifact was not unpacked: {error}", "nothing was written") from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _must_be_free(target: Path) -> None:
    if target.is_symlink() or target.exists():
        raise Failure(f"{target} is there already", "move it away, or name another place with --to")
