"""The beginning of some content, as lines to look at: what it is, is found out from its bytes and its name. Pure.

Whatever the content is, nothing here raises, and no line acts on a terminal.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from khantui.render.jsontext import fault, highlighted, laid_out
from khantui.render.moments import size as bytes_in_words
from khantui.render.pictures import picture, vector
from khantui.render.sheet import ROWS, header, parsed, separator, sheet
from khantui.render.text import visible

Piece = tuple[str, str]
Line = list[Piece]
BEGINNING = 256 * 1024  # bytes that are asked for: enough for the rows of a table
TEXT = 64 * 1024  # of a text, what is shown
_LONGEST = 2000  # characters of a line that are shown
_DUMPED = 256  # bytes of a dump
_ODD = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
_HTML = re.compile(r"\s*<(?:!doctype )?html\b", re.IGNORECASE)
_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF-", "a PDF document"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"ARROW1", "an Arrow file"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x7fELF", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
)


class Preview(NamedTuple):
    """Lines of (text, role) pieces. `head` stays on top; `said` is what is to be known beside the kind."""

    kind: str
    said: str
    lines: Sequence[Line]
    head: Line = []  # noqa: RUF012  never changed
    numbered: bool = False


def preview(data: bytes, size: int, name: str = "") -> Preview:
    """What can be shown of the content that begins with `data` and has `size` bytes in all."""
    cut = len(data) < size
    if not data:
        return Preview("empty", "0 B", [])
    if is_parquet(data):
        return Preview("Parquet", bytes_in_words(size), [])
    if (found := picture(data)) is not None:
        about = ", ".join(filter(None, (found.size, bytes_in_words(size))))
        return Preview(f"{found.kind} picture", about, [[(f"{found.kind} picture, {about}", "")]])
    if data.startswith(b"\x1f\x8b") and (inside := _unpacked(data)):
        within = preview(inside, len(inside) + 1, name.lower().removesuffix(".gz"))
        return within._replace(kind=f"{within.kind}, compressed with gzip")
    text = decoded(data, cut=cut)
    if text is None:
        return _binary(data, size)
    return _text(text, name, cut=cut)


def is_parquet(data: bytes) -> bool:
    """Whether content that begins so is Parquet."""
    return data.startswith(b"PAR1")


def decoded(data: bytes, *, cut: bool) -> str | None:
    """The text that the bytes are; None if they are none. What is no character in it becomes U+FFFD."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in data[:8192]:
        return None
    else:
        encoding = "utf-8-sig"
    text = codecs.getincrementaldecoder(encoding)("replace").decode(data, not cut)
    sample = text[:8192]
    return None if len(_ODD.findall(sample)) * 10 > len(sample) else text


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, BEGINNING)
    except zlib.error:
        return b""


def _text(text: str, name: str, *, cut: bool) -> Preview:
    begins = text.lstrip()[:1]
    ending = name.lower().rsplit(".", 1)[-1]
    short, cut_text = text[:TEXT], cut or len(text) > TEXT
    first = f"the first {len(short.encode(errors='replace')) // 1024} KiB" if cut_text else ""
    if begins in ("{", "[") and ending not in ("csv", "tsv", "md", "txt", "ini", "toml"):
        return _json(short, first, cut=cut_text, lines=ending in ("jsonl", "ndjson"))
    if (drawn := vector(text)) is not None:
        said = ", ".join(filter(None, (drawn.size, first)))
        return Preview("SVG picture", said, _lines(short), numbered=True)
    between = "" if begins == "<" else separator(text, name, cut=cut)
    if between:
        return table(parsed(text, between, cut=cut), "TSV" if between == "\t" else "CSV", more=cut)
    kind = "HTML" if _HTML.match(text) else "text"
    return Preview(kind, first, _lines(short), numbered=True)


def table(
    rows: Sequence[Sequence[str]], kind: str, *, more: bool, total: int | None = None, titled: bool | None = None
) -> Preview:
    """Rows as an aligned table; `more` if there are others, `total` where it is known how many.

    `titled` says whether the first row is a header (None: find out).
    """
    titled = header(rows) if titled is None else titled
    body = rows[1:] if titled else rows
    shown = sheet(rows[0] if titled else (), body[:ROWS])
    many = f"{shown.columns} column{'s' * (shown.columns != 1)}"
    if more or len(body) > ROWS:
        count = f"first {len(body[:ROWS])}{f' of {total:,}' if total is not None else ''} rows"
    else:
        count = f"{len(body)} row{'s' * (len(body) != 1)}"
    return Preview(kind, f"{count}, {many}", [[(line, "")] for line in shown.rows], [(shown.head, "strong")], True)


def _json(text: str, first: str, *, cut: bool, lines: bool) -> Preview:
    rows = text.removesuffix("\n").split("\n")
    if lines or _each_is_json(rows[: len(rows) - cut] if len(rows) > 1 else rows):
        said = ", ".join(filter(None, (first, f"{len(rows)} line{'s' * (len(rows) != 1)}")))
        return Preview("JSON lines", said, [highlighted(_cut(row)) for row in rows], numbered=True)
    wrong = "" if cut else fault(text)
    if wrong:
        return Preview("text", wrong, _lines(text), numbered=True)
    return Preview("JSON", first, [highlighted(_cut(line)) for line in laid_out(text)], numbered=True)


def _each_is_json(rows: Sequence[str]) -> bool:
    """Whether every line is a value of its own, of which there are two or more."""
    return len(rows) > 1 and all(row.strip() and not fault(row) for row in rows[:20])


def _lines(text: str) -> list[Line]:
    return [[(visible(_cut(line)), "")] for line in text.removesuffix("\n").split("\n")]


def _cut(line: str) -> str:
    line = line.removesuffix("\r")
    if len(line) > _LONGEST:
        line = f"{line[:_LONGEST]}… {len(line) - _LONGEST:,} more characters"
    return line.expandtabs(8) if "\t" in line else line


def _binary(data: bytes, size: int) -> Preview:
    kind = next((words for magic, words in _MAGIC if data.startswith(magic)), "binary")
    lines: list[Line] = []
    for at in range(0, min(len(data), _DUMPED), 16):
        row = data[at : at + 16]
        characters = "".join(chr(b) if 0x20 <= b < 0x7F else "·" for b in row)
        digits = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        lines.append([(f"{at:08x}  ", "faint"), (f"{digits:<48}  ", ""), (characters, "info")])
    return Preview(kind, bytes_in_words(size), lines)
