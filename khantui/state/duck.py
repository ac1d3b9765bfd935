"""Tables of any length, read by DuckDB's program: a process of its own, with limits, that what it reads cannot harm."""

from __future__ import annotations

import csv
import importlib.util
import io
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

LARGEST = 1 << 30  # bytes of a file that is fetched to be paged through
CELL = 200  # characters of a value that are shown
_SECONDS = 30.0
_OUTPUT = 16 << 20  # bytes of the program's answer
# no home folder of the user's, no extensions from the network, and nothing else of the machine's
_LIMITS = "SET memory_limit = '512MB'; SET threads = 2; SET autoinstall_known_extensions = false; "


class Rows(NamedTuple):
    """How many there are in all, and the first of them below their titles."""

    total: int
    rows: list[list[str]]


def read(path: Path, rows: int) -> Rows | None:
    """The first rows of a Parquet file, and how many it has; None where it cannot be read."""
    source = f"read_parquet('{path.name}')"
    answer = _ask(path.parent, f"SELECT count(*) FROM {source}; {_page(source, 0, rows)}")
    return parse(answer) if answer is not None else None


def page(path: Path, first: int, count: int) -> list[list[str]] | None:
    """So many rows of a Parquet file from the row `first` on, counted from 0."""
    answer = _ask(path.parent, _page(f"read_parquet('{path.name}')", first, count))
    found = _table(answer) if answer is not None else None
    return found[1:] if found else None


def _page(source: str, first: int, count: int) -> str:
    return f"SELECT left(COLUMNS(*)::VARCHAR, {CELL}) FROM {source} LIMIT {count} OFFSET {first};"


def convert(path: Path, separator: str, titled: bool, target: Path) -> bool:
    """Write separated values as Parquet, each value as the text that it is; whether that could be done."""
    query = (
        f"COPY (SELECT * FROM read_csv('{path.name}', all_varchar = true, delim = '{separator}', "
        f"header = {str(titled).lower()}, null_padding = true, strict_mode = false, ignore_errors = true, "
        f"parallel = false, max_line_size = 8388608)) TO '{target.name}' (FORMAT parquet, ROW_GROUP_SIZE 20000);"
    )
    return _ask(path.parent, query) is not None and target.is_file()


def _ask(folder: Path, query: str) -> str | None:
    """What the program answers to SQL; None where it fails. Files are named relative to `folder`, without quotes."""
    command = [_program(), "-init", "/dev/null", "-bail", "-csv", "-c", _LIMITS + query]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder
    ) as process:
        timer = threading.Timer(_SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            answer = process.stdout.read(_OUTPUT)
            if len(answer) >= _OUTPUT:
                process.kill()
            failed = process.wait() != 0
        finally:
            timer.cancel()
    return None if failed else answer.decode(errors="replace")


def _program() -> str:
    """The program itself, which the package `duckdb-cli` brings: its start by a script would take twice as long."""
    found = importlib.util.find_spec("duckdb_cli")
    beside = Path(found.origin).parent / "duckdb" if found is not None and found.origin else Path("duckdb")
    return str(beside) if beside.is_file() else "duckdb"


def parse(answer: str) -> Rows | None:
    """What the program has answered to a question for the count and one for the rows."""
    found = _table(answer)
    if found is None or len(found) < 3 or not found[1] or not found[1][0].isdigit():
        return None
    return Rows(int(found[1][0]), found[2:])


def _table(answer: str) -> list[list[str]] | None:
    try:
        return list(csv.reader(io.StringIO(answer, newline="")))
    except csv.Error:
        return None
