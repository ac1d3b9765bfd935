"""What a file or folder is, by its content; and whether it is such as can be passed on."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from backend.errors import ArtifactError
from backend.run.state import ArtifactRecord

SMALL = 256 << 10  # bytes that are hashed at once, without a thread
_MOST_LINKS = 40  # on the way to one file, as the kernel has it

FILE, EXECUTABLE, LINK, FOLDER = "-", "x", "l", "d"  # what a member is


class Member(Struct, frozen=True, omit_defaults=True, array_like=True):
    """A file, link or folder in a folder."""

    path: str  # relative, with /
    kind: str
    value: str = ""  # of a file, its SHA-256 in hexadecimal; of a link, where it leads
    bytes: int = 0
    modified: int = 0  # seconds since 1970; no part of what the folder is

    @property
    def is_file(self) -> bool:
        """Whether it has content."""
        return self.kind in (FILE, EXECUTABLE)


def describe(path: Path, location: str = "", *, seal: bool = False) -> ArtifactRecord:
    """The record of what is at `path`. `seal` makes it read-only on the way.

    A folder's hash is of its sorted entries: relative path, whether executable, and hash (or a link's target).
    Raises ArtifactError for what cannot be passed on: devices, sockets, and links that lead out.
    """
    if kind_of(path) == "folder":
        members = [hashed(path, member, seal=seal) for member in survey(path)]
        if seal:
            for member in members:
                if member.kind == FOLDER:
                    (path / member.path).chmod(0o555)
            path.chmod(0o555)
        return folder_record(members, location)
    info = path.lstat()
    digest = digest_of(path)
    if seal:
        path.chmod(0o555 if info.st_mode & 0o111 else 0o444)
    return ArtifactRecord("file", info.st_size, 1, digest, location)


def kind_of(path: Path) -> str:
    """Whether this is a "file" or a "folder". Raises ArtifactError for anything else, and for a link."""
    mode = path.lstat().st_mode
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    raise ArtifactError(f"{path.name!r} is {_kind(mode)}; an artifact is a file or a folder")


def survey(root: Path) -> Iterator[Member]:
    """What is in a folder; files have no hash yet. Raises ArtifactError for what cannot be passed on."""
    for parent, names, members in os.walk(root, onerror=_raise):
        here = Path(parent)
        links = [n for n in names if (here / n).is_symlink()]
        for name in [*members, *links]:
            member = here / name
            relative = member.relative_to(root).as_posix()
            info = member.lstat()
            modified = int(info.st_mtime)
            if stat.S_ISLNK(info.st_mode):
                yield Member(relative, LINK, _inside(member, root), modified=modified)
            elif stat.S_ISREG(info.st_mode):
                yield Member(relative, EXECUTABLE if info.st_mode & 0o111 else FILE, "", info.st_size, modified)
            else:
                raise ArtifactError(f"{relative!r} is {_kind(info.st_mode)}; only files and folders can be passed on")
        for name in names:
            if name not in links:
                yield Member((here / name).relative_to(root).as_posix(), FOLDER)


def hashed(root: Path, member: Member, *, seal: bool = False) -> Member:
    """The member with its hash. `seal` makes it read-only on the way."""
    if not member.is_file:
        return member
    path = root / member.path
    if seal:
        path.chmod(0o555 if member.kind == EXECUTABLE else 0o444)
    return Member(member.path, member.kind, digest_of(path), member.bytes, member.modified)


def folder_record(members: Iterable[Member], location: str = "") -> ArtifactRecord:
    """The record of a folder with these members, which have their hashes."""
    entries: list[str] = []
    size = files = 0
    for member in members:
        entries.append(f"{member.path}\0{member.kind}" + (f"\0{member.value}" if member.kind != FOLDER else ""))
        if member.is_file:
            size, files = size + member.bytes, files + 1
    digest = hashlib.sha256("\n".join(sorted(entries)).encode("utf-8", "surrogateescape")).hexdigest()
    return ArtifactRecord("folder", size, files, digest, location)


def missing(name: str, folder: Path) -> ArtifactError:
    """The error that says that an attempt has not written its output `name`, and what is in `folder` instead."""
    there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    wrote = f"it wrote {', '.join(there[:5])}" if there else "it wrote nothing"
    variable = f"$KHAN_OUTPUT_{name.replace('-', '_')}"
    return ArtifactError(f"the output {name!r} is missing: {wrote}", hint=f"write it to {variable}")


def _raise(error: OSError) -> None:
    raise ArtifactError(f"{error.filename!r} cannot be read: {error.strerror}")


def _inside(link: Path, root: Path) -> str:
    """Where a link leads, if that is inside of `root`."""
    target = str(link.readlink())
    if not _stays(link.parent, target, root):
        raise ArtifactError(
            f"{link.relative_to(root).as_posix()!r} is a link to {target!r}, outside of the artifact",
            hint="copy what it leads to",
        )
    return target


def _stays(here: Path, target: str, root: Path) -> bool:
    """Whether a link in `here` stays within `root` at every step, as the kernel takes them.

    To join the two and to drop what `..` undoes would not tell: `up/..` is not `.` where `up` is a link itself.
    """
    pending = [target]
    links = 0
    while pending:
        part, _, rest = pending.pop().partition("/")
        if rest:
            pending.append(rest)
        if part == "..":
            if here == root:
                return False
            here = here.parent
        elif part not in ("", "."):
            there = here / part
            if os.path.islink(there):  # noqa: PTH114  Path.is_symlink raises for names that no file can have
                links += 1
                pending.append(leads := str(there.readlink()))
                if leads.startswith("/") or links > _MOST_LINKS:
                    return False
            else:
                here = there
    return not target.startswith("/")


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
