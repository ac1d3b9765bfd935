"""`khantui up`, as it is first met: the examples, without a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.program import environment

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "d"


def up(data: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "khantui", "up", "--data", str(data), *flags]
    return subprocess.run(
        argv, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110, check=False
    )


def test_without_a_terminal_the_examples_run_and_are_reported(data: Path) -> None:
    result = up(data, "--examples")
    assert result.returncode == 0, result
    words = {line.split()[2]: line for line in result.stdout.splitlines() if line[0] in "✔✖"}
    assert {"weather", "weather-compare", "quakes", "penguins", "penguins-mass", "temperature", "co2"} <= words.keys()
    assert "✖ failed" in words["penguins-mass"]
    assert "(meant to fail)" in words["penguins-mass"]
    assert all("✔ succeeded" in line for name, line in words.items() if name != "penguins-mass")
    assert "mass: ERROR: line 5: body_mass_g is 'NA'" in result.stdout
    report = next(part for part in words["weather"].split() if part.endswith("report"))
    assert "<svg" in Path(report).read_text()
    assert "daemon is stopped" in result.stderr


def test_what_has_run_is_there_the_next_time(data: Path) -> None:
    assert up(data, "--examples").returncode == 0
    again = up(data, "--examples")
    assert again.returncode == 0, again
    assert "example weather unchanged (v1)" in again.stderr
