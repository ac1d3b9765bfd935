"""A real daemon with two teams, and callers of each role."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.victim import Victim


@pytest.fixture(scope="package")
def victim() -> Iterator[Victim]:
    folder = Path(tempfile.mkdtemp(prefix="kh"))  # a short path: it has a socket
    found = Victim(folder)
    try:
        found.furnish()
        yield found
    finally:
        found.daemon.close()
        shutil.rmtree(folder, ignore_errors=True)
