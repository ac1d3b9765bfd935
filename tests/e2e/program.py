"""The program `khantui` as a user calls it, with its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY = 600.0  # seconds: the first start may build etcd


@dataclass
class Program:
    """The program `khantui`, talking with the daemon in `data`."""

    data: Path

    def __call__(self, *args: str, cwd: Path | None = None, stdin: str | None = None, timeout: float = 60) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "khantui", *args],
            env=environment() | {"KHANTUI_DATA": str(self.data)},
            capture_output=True,
            input=stdin,
            text=True,
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def json(self, *args: str, code: int = 0) -> Any:
        """What a command prints with -o json; its exit code must be `code`."""
        result = self(*args, "-o", "json")
        assert result.code == code, result
        return json.loads(result.out)

    def apply(self, folder: Path, document: dict[str, Any], files: dict[str, str] | None = None) -> str:
        """Write a pipeline into `folder` and apply it: its name."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pipeline.json").write_text(json.dumps(document, indent=2))
        for name, text in (files or {}).items():
            (folder / name).write_text(text)
        result = self("apply", str(folder))
        assert result.code == 0, result
        return str(document["name"])


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """The environment without what would lead to another daemon, or make every start compile the program anew."""
    others = ("KHANTUI_ADDRESS", "KHANTUI_DATA", "KHANTUI_DEBUG", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if k not in others}


def until_ready(process: subprocess.Popen[str]) -> str:
    """The URL that a headless daemon says when it is ready."""
    assert process.stdout is not None
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if line.startswith("ready "):
            return line.removeprefix("ready ").strip()
        assert line, f"the daemon ended with {process.wait()}"
    raise AssertionError("the daemon was not ready in time")
