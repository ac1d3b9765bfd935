"""Comma-separated values as an aligned table: what separates them is found out, and whether there is a header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from khantui.render.text import crop, pad, visible, width

ROWS = 200  # that are shown
_COLUMNS = 200  # that are shown
_WIDEST = 40  # columns of the screen, for one of the table
_LOOKED_AT = 30  # rows, to find out what separates them
_GAP = "  "
NUMBER = re.compile(r"\s*[-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*%?\s*|nan|inf|-inf|NA|NULL", re.IGNORECASE)
_SEPARATORS = "\t,;|"


class Sheet(NamedTuple):
    """A header, and rows below it."""

    head: str
    rows: list[str]
    columns: int


def separator(text: str, name: str, *, cut: bool) -> str:
    """What separates the values of a table; "" where `text` is no table. `name` may end in .csv or .tsv."""
    ending = name.lower().rsplit(".", 1)[-1]
    if ending in ("tsv", "tab"):
        return "\t"
    found = {s: columns for s in _SEPARATORS if (columns := _even(text, s, cut))}
    if found:
        return max(found, key=lambda s: (found[s], -_SEPARATORS.index(s)))
    return "," if ending == "csv" else ""


def _even(text: str, separator: str, cut: bool) -> int:
    """How many columns all rows have, if there are two rows or more and all have as many; else 0."""
    sample = text[:20_000]
    rows = [r for r in parsed(sample, separator, cut=cut or len(sample) < len(text))[:_LOOKED_AT] if r]
    if len(rows) < 2 or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return 0
    spaced = sum(cell[:1] == " " for row in rows for cell in row[1:])
    if separator == "," and spaced * 2 > sum(len(row) - 1 for row in rows):
        return 0  # commas of sentences
    return len(rows[0])


def parsed(text: str, separator: str, *, cut: bool) -> list[list[str]]:
    """The first rows of a table, as far as they can be read; where the text was `cut` the last one is left out."""
    rows: list[list[str]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        rows.extend(islice(reader, ROWS + 2))  # keeps what came before an error
    except csv.Error:
        return rows
    return rows[:-1] if cut and len(rows) < ROWS + 2 and len(rows) > 1 else rows


def header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row says what stands below it: it has no number, and is nowhere empty."""
    return bool(rows) and all(cell.strip() and not NUMBER.fullmatch(cell) for cell in rows[0])


def sheet(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Sheet:
    """An aligned table, numbers at the right. Without a header the columns are numbered."""
    columns = max((len(head), *map(len, rows)), default=0)
    shown = min(columns, _COLUMNS)
    titles = [visible(head[i][:200]) if i < len(head) else str(i + 1) for i in range(shown)]
    grid = [[visible(row[i][:200]) if i < len(row) else "" for i in range(shown)] for row in rows]
    widths, right = [], []
    for i in range(shown):
        cells = [row[i] for row in grid]
        widths.append(min(_WIDEST, max(width(titles[i]), *map(width, cells), 1)))
        filled = [cell for cell in cells if cell]
        right.append(bool(filled) and all(NUMBER.fullmatch(cell) for cell in filled))
    lines = [
        _GAP.join(pad(crop(cell, w), w, r) for cell, w, r in zip(row, widths, right, strict=True)).rstrip(" ")
        for row in (titles, *grid)
    ]
    return Sheet(lines[0], lines[1:], columns)
