"""What a file or folder is, by its content; and whether it is such as can be passed on."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from backend.errors import ArtifactError
from backend.run.state import ArtifactRecord

SMALL = 256 << 10  # bytes that are hashed at once, without a thread


def describe(path: Path, location: str = "", *, seal: bool = False) -> ArtifactRecord:
    """The record of what is at `path`. `seal` makes it read-only on the way.

    A folder's hash is of its sorted entries: relative path, whether executable, and hash (or a link's target).
    Raises ArtifactError for what cannot be passed on: devices, sockets, and links that lead out.
    """
    info = path.lstat()
    if stat.S_ISREG(info.st_mode):
        digest = digest_of(path)
        if seal:
            path.chmod(0o555 if info.st_mode & 0o111 else 0o444)
        return ArtifactRecord("file", info.st_size, 1, digest, location)
    if not stat.S_ISDIR(info.st_mode):
        raise ArtifactError(f"{path.name!r} is {_kind(info.st_mode)}; an artifact is a file or a folder")
    return _folder(path, location, seal)


def _folder(path: Path, location: str, seal: bool) -> ArtifactRecord:
    entries: list[str] = []
    size = files = 0
    folders: list[Path] = []
    for parent, names, members in os.walk(path, onerror=_raise):
        here = Path(parent)
        folders.append(here)
        links = [n for n in names if (here / n).is_symlink()]
        for name in [*members, *links]:
            member = here / name
            relative = member.relative_to(path).as_posix()
            info = member.lstat()
            if stat.S_ISLNK(info.st_mode):
                entries.append(f"{relative}\0l\0{_inside(member, path)}")
            elif stat.S_ISREG(info.st_mode):
                executable = "x" if info.st_mode & 0o111 else "-"
                entries.append(f"{relative}\0{executable}\0{digest_of(member)}")
                size, files = size + info.st_size, files + 1
                if seal:
                    member.chmod(0o555 if info.st_mode & 0o111 else 0o444)
            else:
                raise ArtifactError(f"{relative!r} is {_kind(info.st_mode)}; only files and folders can be passed on")
        entries += [f"{(here / n).relative_to(path).as_posix()}\0d" for n in names if n not in links]
    if seal:
        for folder in folders:
            folder.chmod(0o555)
    digest = hashlib.sha256("\n".join(sorted(entries)).encode("utf-8", "surrogateescape")).hexdigest()
    return ArtifactRecord("folder", size, files, digest, location)


def _raise(error: OSError) -> None:
    raise ArtifactError(f"{error.filename!r} cannot be read: {error.strerror}")


def _inside(link: Path, root: Path) -> str:
    """Where a link leads, if that is inside of `root`."""
    target = str(link.readlink())
    leads = Path(os.path.normpath(link.parent / target))
    if target.startswith("/") or not leads.is_relative_to(root):
        raise ArtifactError(
            f"{link.relative_to(root).as_posix()!r} is a link to {target!r}, outside of the artifact",
            hint="copy what it leads to",
        )
    return target


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_small(path: Path) -> bool:
    """Whether it is hashed faster than a thread is asked to."""
    info = path.lstat()
    return stat.S_ISREG(info.st_mode) and info.st_size <= SMALL


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def remove(path: Path) -> None:
    """Remove a file or a folder, sealed or not. No error if it is gone."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
        return
    for parent, _, members in os.walk(path):
        here = Path(parent)
        here.chmod(0o700)
        for name in members:
            (here / name).unlink(missing_ok=True)
    for parent, names, _ in os.walk(path, topdown=False):
        here = Path(parent)
        for name in names:
            member = here / name
            member.unlink() if member.is_symlink() else member.rmdir()
    if path.exists():
        path.rmdir()
