"""As much of an artifact's content as is wanted, and no more of it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from khantui.errors import Failure

MOST_NAMES = 1000
_PASSED_OVER = 256 << 20  # bytes of a folder that are gone through for the names of its files
Stopped = Callable[[], bool]


class Member(NamedTuple):
    """A file in a folder. `target` is where it leads if it is a link."""

    name: str
    bytes: int
    target: str = ""


def beginning(parts: Iterator[bytes], most: int, stopped: Stopped) -> bytes:
    """At most so many bytes."""
    taken = bytearray()
    for part in parts:
        taken += part
        if len(taken) >= most or stopped():
            break
    return bytes(taken[:most])


def members(parts: Iterator[bytes], stopped: Stopped) -> tuple[list[Member], bool]:
    """The files in a tar, and whether these are all; it is read no further than needed. Raises Failure."""
    found: list[Member] = []
    try:
        with tarfile.open(fileobj=_Reader(parts, stopped), mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                if len(found) >= MOST_NAMES:
                    return found, False
                if not member.isdir():
                    found.append(Member(member.name, member.size, member.linkname if member.issym() else ""))
    except _Enough:
        return found, False
    except tarfile.TarError as error:
        raise Failure(f"the folder cannot be listed: {error}") from error
    return found, True


class _Enough(Exception):
    """No more is to be read."""


class _Reader:
    """Parts as what tarfile reads from, in pieces of any length."""

    def __init__(self, parts: Iterator[bytes], stopped: Stopped) -> None:
        self._parts, self._stopped = parts, stopped
        self._left = _PASSED_OVER

    def read(self, size: int) -> bytes:
        """The next part."""
        part = next(self._parts, b"")
        self._left -= len(part)
        if self._left < 0 or self._stopped():
            raise _Enough
        return part
