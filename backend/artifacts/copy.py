"""Copies that are there whole or not at all, and cost nothing where the file system can share blocks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from backend.artifacts.content import remove
from backend.errors import ArtifactError

_FICLONE = 0x40049409
_AT_FDCWD = -100
_EXCHANGE = 2
_STEP = 64 << 20  # bytes that the kernel copies at once
_NOT_BY_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def copy_file(source: Path, target: Path) -> None:
    """A copy of one file: shared blocks if the file system can, else made by the kernel. Synced."""
    with source.open("rb", buffering=0) as read, target.open("wb", buffering=0) as write:
        try:
            fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())
        except OSError:
            _copied(read, write)
        os.fsync(write.fileno())
    if source.stat().st_mode & 0o111:
        target.chmod(0o755)


def _copied(read: BinaryIO, write: BinaryIO) -> None:
    """Copy what a file holds without reading it into this process, where the file systems let the kernel do it."""
    try:
        while os.copy_file_range(read.fileno(), write.fileno(), _STEP):
            pass
    except OSError as error:
        if error.errno not in _NOT_BY_KERNEL:
            raise
        shutil.copyfileobj(read, write, 1 << 20)  # from where the kernel has left off


def copy(source: Path, target: Path) -> None:
    """A copy of a file or of a folder; links inside of it stay links."""
    if source.is_dir():
        target.mkdir()
        for entry in sorted(source.iterdir()):
            if entry.is_symlink():
                (target / entry.name).symlink_to(entry.readlink())
            else:
                copy(entry, target / entry.name)
    else:
        copy_file(source, target)


def replace(source: Path, target: Path) -> None:
    """Put a copy of `source` at `target`, in one step: whoever looks sees what was there before, or all that is new.

    Raises ArtifactError.
    """
    new = beside(target)
    try:
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            copy(source, new)
        place(new, target)
    finally:
        remove(new)


def beside(target: Path) -> Path:
    """A path beside `target`, for what is to take its place."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")


def place(new: Path, target: Path) -> None:
    """Let `new`, which lies beside it, take the place of `target`, in one step. Raises ArtifactError."""
    with _writing(target):
        _swap(new, target)


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        raise ArtifactError(f"cannot write {target}: {why}") from error


def _swap(new: Path, target: Path) -> None:
    if new.is_dir() and target.is_dir() and not target.is_symlink():
        _exchange(new, target)  # what was there is `new` now, and is removed
    elif new.is_dir() and target.exists():
        target.unlink()
        new.rename(target)
    elif target.is_dir() and not target.is_symlink():
        raise ArtifactError(f"cannot write the file {target}: a folder is there")
    else:
        new.replace(target)


def _exchange(one: Path, other: Path) -> None:
    import ctypes  # 15 ms that a stager need not wait for

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE):
        aside = one.with_suffix(".old")  # the file system cannot: two steps
        other.rename(aside)
        one.rename(other)
        aside.rename(one)
