"""The rows of a Parquet file, read by DuckDB's program where there is one."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

LARGEST = 64 << 20  # bytes of a file that is looked into
_SECONDS = 10.0
_OUTPUT = 8 << 20  # bytes of the program's answer
_QUERY = """
SET memory_limit = '512MB'; SET threads = 2;
SELECT count(*) FROM read_parquet('{path}');
SELECT left(COLUMNS(*)::VARCHAR, 200) FROM read_parquet('{path}') LIMIT {rows};
"""


class Rows(NamedTuple):
    """How many there are in all, and the first of them below their titles."""

    total: int
    rows: list[list[str]]


def program() -> str:
    """Where DuckDB's program is; empty if it is nowhere."""
    beside = Path(sys.executable).parent / "duckdb"
    return str(beside) if beside.is_file() else shutil.which("duckdb") or ""


def read(path: Path, rows: int) -> Rows | None:
    """The first rows of a file; None where it cannot be read. The path must have no quotes in it."""
    tool = program()
    if not tool or "'" in str(path):
        return None
    command = [tool, "-init", "/dev/null", "-csv", "-c", _QUERY.format(path=path, rows=rows)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=path.parent
    ) as process:
        timer = threading.Timer(_SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            answer = process.stdout.read(_OUTPUT)
        finally:
            timer.cancel()
            process.kill()
    return parse(answer.decode(errors="replace"))


def parse(answer: str) -> Rows | None:
    """What the program has answered."""
    try:
        found = list(csv.reader(io.StringIO(answer, newline="")))
    except csv.Error:
        return None
    if len(found) < 3 or not found[1] or not found[1][0].isdigit():
        return None
    return Rows(int(found[1][0]), found[2:])
