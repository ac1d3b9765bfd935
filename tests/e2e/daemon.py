"""A real daemon, as a process of its own, that can be killed and started again on the same folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx


class Daemon:
    """`python -m backend` on a data folder, and a client of its API."""

    def __init__(self, folder: Path, socket: Path | None = None) -> None:
        """`socket`: where it serves, if not in its folder."""
        self.folder = folder
        self.socket = socket or folder / "api.sock"
        self.process: subprocess.Popen[str] | None = None
        self.http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://khantui/api/v1", timeout=30
        )

    def spawn(self, *flags: str, **environment: str) -> None:
        """Start it, and do not wait."""
        with (self.folder / "stderr").open("a") as errors:
            argv = [sys.executable, "-m", "backend", "--data", str(self.folder), *flags]
            self.process = subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **environment}
            )

    def start(self, *flags: str, **environment: str) -> str:
        """Start it, and return the URL at which it says that it is ready."""
        self.spawn(*flags, **environment)
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.kill()
            raise AssertionError((self.folder / "stderr").read_text())
        return line.removeprefix("ready ").strip()

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._close()

    def stop(self) -> int:
        """Ask it to end: its exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(30)
        self._close()
        return code

    def close(self) -> None:
        """End it if it runs, and forget the connections to it."""
        if self.process and self.process.poll() is None:
            self.stop()
        self.http.close()

    def _close(self) -> None:
        if self.process and self.process.stdout:
            self.process.stdout.close()

    def kill_etcd(self) -> int:
        """`kill -9` of the etcd that belongs to this folder: its pid."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
                here = (entry / "cwd").readlink()
            except OSError:
                continue
            if argv[0].endswith(b"etcd") and here.is_relative_to(self.folder.resolve()):
                os.kill(int(entry.name), signal.SIGKILL)
                return int(entry.name)
        raise AssertionError("no etcd runs on this folder")

    def apply(self, name: str, **document: Any) -> None:
        """Store a pipeline; stages without an image are shell scripts."""
        for stage in document["stages"].values():
            stage.setdefault("image", "shell")
        text = json.dumps({"name": name, **document})
        answer = self.http.post("/pipelines", json={"document": text})
        assert answer.status_code < 300, answer.text

    def run(self, name: str, **body: Any) -> str:
        """Start a run: its id."""
        answer = self.http.post(f"/pipelines/{name}/runs", json=body)
        assert answer.status_code < 300, answer.text
        return str(answer.json()["id"])

    def status(self, run_id: str) -> dict[str, Any]:
        """The run, with its stages."""
        answer = self.http.get(f"/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def log(self, run_id: str, stage: str, attempt: int = 1) -> list[str]:
        """The lines of a stage's log."""
        answer = self.http.get(f"/runs/{run_id}/stages/{stage}/log", params={"attempt": attempt})
        assert answer.status_code == 200, answer.text
        return [line["text"] for line in answer.json()["lines"]]

    def until(self, run_id: str, what: Callable[[dict[str, Any]], bool], limit: float = 60) -> dict[str, Any]:
        """Ask for the run until `what` holds of it; an API that is away for a moment is asked again."""
        end = time.monotonic() + limit
        while True:
            try:
                run = self.status(run_id)
            except (httpx.TransportError, AssertionError):
                run = {}
            if run and what(run):
                return run
            assert time.monotonic() < end, f"waited in vain: {run}"
            time.sleep(0.05)

    def ended(self, run_id: str, limit: float = 60) -> dict[str, Any]:
        """Wait until the run has ended."""
        return self.until(run_id, lambda run: bool(run["ended"]), limit)
