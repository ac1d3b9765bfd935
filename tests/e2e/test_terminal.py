"""`khantui up` at a terminal, by keys alone: from the start to a failure that is understood and retried."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.program import READY, Program, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("tmux"), reason="there is no tmux"),
    pytest.mark.timeout(READY + 120),
]


class Terminal:
    """A terminal of its own, in a tmux server of its own."""

    def __init__(self, socket: Path, command: str, columns: int, rows: int) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._run("new-session", "-d", "-x", str(columns), "-y", str(rows), command)

    def _run(self, *arguments: str) -> str:
        size = {"COLUMNS": "80", "LINES": "24"}  # of another terminal: some shells and libraries leave that to programs
        done = subprocess.run(
            [*self._tmux, *arguments], env=environment() | size, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout

    def press(self, *keys: str) -> None:
        """Keys by tmux's names."""
        self._run("send-keys", *keys)

    def type(self, text: str) -> None:
        """Text as it stands."""
        self._run("send-keys", "-l", text)

    def ask(self, what: str) -> str:
        """What tmux knows of it, by its formats."""
        return self._run("display-message", "-p", what).strip()

    @property
    def text(self) -> str:
        """What the terminal shows."""
        return self._run("capture-pane", "-p")

    def until(self, holds: Callable[[str], bool], seconds: float = 20) -> str:
        """Wait until the screen shows something; fails with what it shows instead."""
        deadline = time.monotonic() + seconds
        while not holds(text := self.text):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        return text

    def close(self) -> None:
        """End it with all that runs in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True, timeout=30)


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="kh"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 60)])
def test_from_the_start_to_a_failure_that_is_retried(folder: Path, columns: int, rows: int) -> None:
    data = folder / "d"
    command = f"{sys.executable} -m khantui up --examples --data {data}; echo left with $?; sleep 60"
    terminal = Terminal(folder / "tmux", command, columns, rows)
    khantui = Program(data)
    try:
        terminal.until(lambda t: "penguins-mass" in t and "failing" in t, READY)
        terminal.press("C-z")
        terminal.until(lambda t: "[state=failed]" in t and "temperature" not in t)
        terminal.press("Enter")
        terminal.until(lambda t: "▶ ERROR: line 5: body_mass_g is 'NA'" in t and "attempt 2 of 2" in t)
        terminal.press("w")
        terminal.until(lambda t: "mass  exit 1" in t and "retries what failed" in t)
        terminal.press("Escape")
        terminal.until(lambda t: "retries what failed" not in t)
        terminal.press("r")
        terminal.until(lambda t: "attempt 3 of" in t or "attempt 4 of" in t, 40)
        terminal.press("Escape")
        terminal.until(lambda t: "Runs" in t)
        rounds = json.loads(khantui("runs", "pipeline=penguins-mass", "-o", "json").out)
        assert [run["round"] for run in rounds] == [2]  # the same run, taken up once
        terminal.type(":pipelines")
        terminal.press("Enter")
        terminal.until(lambda t: "Pipelines" in t and "weather-compare" in t)
        terminal.press("q")
        time.sleep(0.2)
        terminal.press("q")
        terminal.until(lambda t: "left with 0" in t, 40)
    finally:
        terminal.close()


@pytest.mark.parametrize("command", ["exec {up}", "sh -c 'trap : HUP; {up}; true'"])
def test_a_terminal_that_is_closed_leaves_nothing_behind(folder: Path, command: str) -> None:
    data = folder / "d"
    terminal = Terminal(folder / "tmux", command.format(up=f"{sys.executable} -m khantui up --data {data}"), 80, 24)
    try:
        terminal.until(lambda t: "Runs" in t, READY)
    finally:
        terminal.close()
    deadline = time.monotonic() + 30
    while left := _of(data):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _of(data: Path) -> list[str]:
    """The command lines of what runs for a data folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(data) in line:
            found.append(line)
    return found
