"""Logs that may hold secrets: which ones is noted beside the log, and they are hidden from whoever reads it.

A log is written by the stage itself, with nobody between. So what it writes of a secret is on the disk for a moment:
it is overwritten there by whoever looks at logs that grow, and once more as a whole before the log is archived.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from backend.accounts.grant import SecretRef
from backend.accounts.masking import Masker
from backend.logs.index import Mark
from backend.logs.source import Source

MaskerOf = Callable[[Sequence[SecretRef]], Masker]
_PIECE = 1 << 20  # bytes that are looked through at once
_NOTE = msgspec.json.Decoder(tuple[SecretRef, ...])


def nothing_hidden(refs: Sequence[SecretRef]) -> Masker:
    """For logs that hold no secrets."""
    return Masker()


def note(path: Path, refs: Sequence[SecretRef]) -> None:
    """Note, before the log is written, what it may hold; besides what was noted before. Raises OSError."""
    known = noted(path)
    wanted = tuple(dict.fromkeys((*known, *refs)))
    if wanted == known:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(wanted))
    new.replace(path)


def noted(path: Path) -> tuple[SecretRef, ...]:
    """What was noted; nothing where there is no note. Raises OSError, msgspec.DecodeError."""
    try:
        return _NOTE.decode(path.read_bytes())
    except FileNotFoundError:
        return ()


class Masked:
    """A source whose bytes have stars in place of secrets; sizes, lines and marks are what they are."""

    def __init__(self, source: Source, masker: Masker, *, growing: bool) -> None:
        """`growing`: its end may be the beginning of a secret."""
        self._source = source
        self._masker = masker
        self._growing = growing
        self.archived = source.archived
        self.first_error = source.first_error

    @property
    def marks(self) -> list[Mark]:
        """Where lines are found."""
        return self._source.marks

    @property
    def size(self) -> int:
        """Bytes in all, now."""
        return self._source.size

    def lines(self, at: int = 0) -> int:
        """Line breaks in all, now."""
        return self._source.lines(at)

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; secrets that reach over either end are hidden as well."""
        around = self._masker.longest - 1
        begin = max(offset - around, 0)
        wanted = size + offset - begin + around
        data = self._source.read(begin, wanted)
        masked = self._masker.mask(data, unfinished=self._growing and len(data) < wanted)
        return masked[offset - begin : offset - begin + size]

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class Scrubber:
    """Overwrites secrets in a log where it lies, as far as it was written."""

    def __init__(self, log: Path, masker: Masker) -> None:
        self._log = log
        self._masker = masker
        self._done = 0  # up to there nothing is left, nor begins

    def scrub(self) -> None:
        """Go through what has come since. The log's size stays, and whoever appends to it goes on. Raises OSError."""
        file = os.open(self._log, os.O_RDWR)
        try:
            size = os.fstat(file).st_size
            while self._done < size:
                data = os.pread(file, _PIECE, self._done)
                for begin, end in self._masker.spans(data):
                    os.pwrite(file, b"*" * (end - begin), self._done + begin)
                ahead = len(data) - (self._masker.longest - 1)
                if self._done + len(data) >= size:
                    self._done = max(self._done + ahead, self._done)
                    break
                self._done += ahead
        finally:
            os.close(file)
