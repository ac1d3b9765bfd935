"""A log's bytes, wherever they are: a file that grows, or an archive of compressed blocks."""

from __future__ import annotations

import bisect
import contextlib
import os
import secrets
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from backend.errors import DamagedLog
from backend.logs.index import Counter, Mark, load, pack, unpack

BLOCK = 256 << 10  # bytes of a log in one compressed frame
_SKIPPABLE = struct.Struct("<II")
_MAGIC = 0x184D2A5B
_BLOCK = struct.Struct("<qq")  # offset in the log, offset in the archive
_FOOTER = struct.Struct("<qqqqq8s")  # first line of an error (0: none), bytes and lines, blocks and marks, signature
_SIGNATURE = b"KHANLOG2"
_BEFORE = b"KHANLOG1"  # without the first error


class Source(Protocol):
    """Bytes at offsets, how many there are, and marks for finding lines."""

    archived: bool
    first_error: int | None  # the number of the first line that speaks of an error, if that is known

    @property
    def marks(self) -> list[Mark]:
        """Where some of its lines are, and when they were written."""
        ...

    @property
    def size(self) -> int:
        """Bytes in all, now."""
        ...

    def lines(self, at: int = 0) -> int:
        """Line breaks in all, now; what is new was found at `at` (microseconds; 0: not known)."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Live:
    """A log that is still where its stage writes it."""

    archived = False

    def __init__(self, log: Path, index: Path | list[Mark], first_error: int | None = None) -> None:
        """`index` is its file, or what was in it. Raises FileNotFoundError."""
        self.first_error = first_error
        self._file = os.open(log, os.O_RDONLY)
        self._counter = Counter(load(index, self.size) if isinstance(index, Path) else index)
        self.marks = self._counter.marks

    @property
    def size(self) -> int:
        """Bytes in all, now."""
        return os.fstat(self._file).st_size

    def lines(self, at: int = 0) -> int:
        """Line breaks in all, now: what the index does not know yet is counted."""
        self._counter.extend(self, self.size, at)
        return self._counter.lines

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        return os.pread(self._file, size, offset)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


class Stored(Protocol):
    """What an archive is read from."""

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class FileBytes:
    """A file that does not change."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError."""
        self._file = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._file).st_size

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        return os.pread(self._file, size, offset)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


class Archive:
    """A log that has ended: frames of zstandard, each for itself, and behind them where each begins."""

    archived = True

    def __init__(self, data: Stored, name: str) -> None:
        """`name` says in errors which it is. Raises DamagedLog."""
        self._data = data
        self._name = name
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()  # of what is kept: several threads may read one archive
        try:
            self._open()
        except (struct.error, ValueError, IndexError) as error:
            self.close()
            raise DamagedLog(f"the archived log {name} is damaged: {error}", hint="restore it from a backup") from error

    def _open(self) -> None:
        end = self._data.size
        footer = self._data.read(max(end - _FOOTER.size, 0), _FOOTER.size)
        begin = end - _FOOTER.size
        if footer.endswith(_BEFORE):
            begin, footer = begin + 8, bytes(8) + footer[8:-8] + _SIGNATURE
        self._size: int
        self._lines: int
        error, self._size, self._lines, blocks, marks, signature = _FOOTER.unpack(footer)
        if signature != _SIGNATURE or not 0 <= blocks < 1 << 32 or not 0 <= marks < 1 << 32:
            raise ValueError("it has no end")
        self.first_error = error or None
        length = blocks * _BLOCK.size + marks * 24
        self._data_end = begin - length - _SKIPPABLE.size
        table = self._data.read(self._data_end + _SKIPPABLE.size, length)
        self._blocks = [_BLOCK.unpack_from(table, i * _BLOCK.size) for i in range(blocks)]
        self.marks = unpack(table[blocks * _BLOCK.size :])
        if len(self.marks) != marks or not self.marks:
            raise ValueError("its index is cut off")

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._size

    def lines(self, at: int = 0) -> int:
        """Line breaks in all."""
        return self._lines

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        found = bytearray()
        end = min(offset + size, self.size)
        while offset < end:
            number = bisect.bisect_right(self._blocks, offset, key=lambda b: b[0]) - 1
            block = self._block(number)
            start = offset - self._blocks[number][0]
            piece = block[start : start + end - offset]
            if not piece:
                raise DamagedLog(f"the archived log {self._name} is damaged: block {number} is too short")
            found += piece
            offset += len(piece)
        return bytes(found)

    def _block(self, number: int) -> bytes:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        start = self._blocks[number][1]
        end = self._blocks[number + 1][1] if number + 1 < len(self._blocks) else self._data_end
        try:
            block = zstandard.ZstdDecompressor().decompress(self._data.read(start, end - start), BLOCK)
        except zstandard.ZstdError as error:
            raise DamagedLog(f"the archived log {self._name} is damaged: {error}") from error
        with self._lock:
            self._kept[number] = block
            if len(self._kept) > 8:
                self._kept.popitem(last=False)
        return block

    def close(self) -> None:
        """Let go of the file."""
        self._data.close()


def archive(source: Source, path: Path, first_error: int | None) -> None:
    """Write a whole log as an archive; it is there whole or not at all. `first_error` is the number of a line."""
    size = source.size
    lines = source.lines()
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks: list[tuple[int, int]] = []
    with _new(path) as out:
        for offset in range(0, size, BLOCK):
            blocks.append((offset, out.tell()))
            out.write(compressor.compress(source.read(offset, min(BLOCK, size - offset))))
        table = b"".join(_BLOCK.pack(*b) for b in blocks) + b"".join(pack(m) for m in source.marks)
        footer = _FOOTER.pack(first_error or 0, size, lines, len(blocks), len(source.marks), _SIGNATURE)
        out.write(_SKIPPABLE.pack(_MAGIC, len(table) + len(footer)) + table + footer)


@contextlib.contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is whole, and leaves nothing where it does not come to that.

    Its name is its own: somebody else may write the same just now.
    """
    new = path.with_name(f".{secrets.token_hex(8)}.new")
    try:
        with new.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
