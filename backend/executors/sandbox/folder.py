"""An attempt's folder: all that is known of it when the daemon that started it is gone.

log           what its processes write, directly
status.json   what bubblewrap writes, directly: a child-pid before the command begins, an exit-code when it ended
killed        why it was killed, if the executor did it: a reason and a message
prevented     it was cancelled before it was started: it never will be
script.*, tmp/, in/, out/
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from backend.run.state import Reason


def parent_of(pid: int) -> int | None:
    """The parent of a process; None if that is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[1])


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
        for folder in (self.out, self.path / "tmp"):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)

    def claim(self) -> int:
        """The status file, open to append, for the one who starts the attempt; -1 where another starts or runs it.

        The lock goes on with the descriptor to bubblewrap. So it starts once, although a daemon that was stopped at
        this very moment may be woken long after another has taken over.
        """
        status = os.open(self.status, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(status)
            return -1
        return status

    def said(self) -> dict[str, int]:
        """What bubblewrap has written so far; a line that is damaged, or cut off, is left out."""
        said: dict[str, int] = {}
        try:
            lines = self.status.read_bytes().splitlines()
        except OSError:
            return said
        for line in lines:
            with contextlib.suppress(ValueError, AttributeError):
                said |= {name: value for name, value in json.loads(line).items() if type(value) is int}
        return said

    @property
    def begun(self) -> bool:
        """Whether bubblewrap has written anything, be it damaged by now: then the command may have run."""
        try:
            return self.status.stat().st_size > 0
        except OSError:
            return False

    def ended_at(self) -> datetime:
        """When the exit code was written."""
        return datetime.fromtimestamp(self.status.stat().st_mtime, UTC)

    def owns(self, pid: int) -> bool:
        """Whether a process is the attempt's bubblewrap or its first child: their arguments name this folder."""
        try:
            return os.fsencode(self.out) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False

    def find(self) -> int | None:
        """The bubblewrap of this attempt, whoever started it: its process id; None if it does not run."""
        if not self.status.exists():
            return None
        child = self.said().get("child-pid")
        if isinstance(child, int) and (parent := parent_of(child)) and self.owns(child) and self.owns(parent):
            return parent
        everything = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
        found = {pid for pid in everything if self.owns(pid)}
        parents = {pid: parent for pid in found if (parent := parent_of(pid)) is not None}
        return next((pid for pid, parent in parents.items() if parent not in found), None)

    def clear(self) -> None:
        """Remove what nobody needs any more of an attempt that has ended: all but its log, status and outputs."""
        for name in ("tmp", "in"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("killed", "prevented", "hosts", "nsswitch.conf"):
            (self.path / name).unlink(missing_ok=True)

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
        except (OSError, ValueError, KeyError, TypeError):
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
