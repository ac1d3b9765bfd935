"""One real daemon for all end-to-end tests of the command line, started as a user starts it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Program, environment, until_ready


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A data folder with a path short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="kh"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def khantui(folder: Path) -> Iterator[Program]:
    """The program, with a daemon behind it."""
    with (folder / "stderr").open("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "khantui", "up", "--headless", "--data", str(folder / "d")],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            url = until_ready(process)
            assert url == f"unix://{folder}/d/api.sock"
            yield Program(folder / "d")
        finally:
            process.terminate()
            process.communicate(timeout=30)
