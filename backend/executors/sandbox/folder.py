"""An attempt's folder: all that is known of it when the daemon that started it is gone.

log           what its processes write, directly
status.json   what bubblewrap writes, directly: a child-pid before the command begins, an exit-code when it ended
process       "<pid> <start time>" of the bubblewrap that was started
killed        why it was killed, if the executor did it: a reason and a message
prevented     it was cancelled before it was started: it never will be
script.*, tmp/, in/, out/
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from backend.run.state import Reason


class Process(Struct, frozen=True):
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: int  # clock ticks since boot

    @property
    def alive(self) -> bool:
        """Whether it is still there (a zombie is not)."""
        return start_of(self.pid) == self.started


def start_of(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


class Folder:
    """One attempt's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        """What its processes write."""
        return self.path / "log"

    @property
    def status(self) -> Path:
        """What bubblewrap writes."""
        return self.path / "status.json"

    @property
    def out(self) -> Path:
        """Its outputs."""
        return self.path / "out"

    def make(self) -> None:
        """Make it, if it is not there."""
        try:
            self.path.mkdir(mode=0o700)
        except FileNotFoundError:
            self.path.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            pass
        for name in ("out", "tmp"):
            (self.path / name).mkdir(exist_ok=True, mode=0o700)

    def said(self) -> dict[str, Any]:
        """What bubblewrap has written so far; a last line that is cut off is left out."""
        said: dict[str, Any] = {}
        try:
            lines = self.status.read_bytes().splitlines()
        except OSError:
            return said
        for line in lines:
            try:
                said |= json.loads(line)
            except ValueError:
                break
        return said

    def ended_at(self) -> datetime:
        """When the exit code was written."""
        return datetime.fromtimestamp(self.status.stat().st_mtime, UTC)

    def remember(self, process: Process) -> None:
        """Note which process was started."""
        (self.path / "process").write_text(f"{process.pid} {process.started}\n")

    def process(self) -> Process | None:
        """The process that was noted."""
        try:
            pid, started = (self.path / "process").read_text().split()
            return Process(int(pid), int(started))
        except (OSError, ValueError):
            return None

    def find(self) -> Process | None:
        """The bubblewrap of this attempt, wherever it is: for the moment between its start and its being noted."""
        mark = os.fsencode(self.out)
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                argv = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in argv and (started := start_of(int(entry.name))) is not None:
                return Process(int(entry.name), started)
        return None

    def blame(self, reason: Reason, message: str) -> None:
        """Note why it is about to be killed; the first reason stays."""
        try:
            with (self.path / "killed").open("x") as note:
                json.dump({"reason": reason, "message": message}, note)
        except FileExistsError:
            pass

    def blamed(self) -> tuple[Reason, str] | None:
        """Why it was killed, if it was."""
        try:
            note = json.loads((self.path / "killed").read_bytes())
            return Reason(note["reason"]), note["message"]
        except (OSError, ValueError, KeyError):
            return None

    def prevent(self) -> None:
        """It shall never start."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / "prevented").touch()

    @property
    def prevented(self) -> bool:
        """Whether it was cancelled before it was started."""
        return (self.path / "prevented").exists()

    def last_words(self, size: int = 400) -> str:
        """The end of the log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - size))
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""
