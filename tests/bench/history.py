"""What was measured before, on this machine: lines of JSON in the user's data folder, the newest last."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs

Results = list[dict[str, Any]]


def place() -> Path:
    """The file; KHANTUI_BENCH_HISTORY names another."""
    given = os.environ.get("KHANTUI_BENCH_HISTORY")
    return Path(given) if given else platformdirs.user_data_path("khantui") / "bench.jsonl"


def last(path: Path) -> dict[str, dict[str, Any]]:
    """The newest result of each workload. Lines that cannot be read are left out."""
    found: dict[str, dict[str, Any]] = {}
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            found |= {result["workload"]: result for result in json.loads(line)["results"]}
        except (ValueError, KeyError, TypeError):
            continue
    return found


def add(path: Path, results: Results) -> None:
    """Note what was measured now, of which commit, on what kind of machine."""
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "results": results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _commit() -> str:
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
