"""How a process ended, for people."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from backend.executors.endings import exited
from backend.executors.sandbox.folder import Folder
from backend.executors.sandbox.limits import Limits, show_size
from backend.run.state import Reason


def outcome(code: int, folder: Folder, limits: Limits) -> tuple[Reason, str]:
    """Why an attempt with this exit code ended, and in words. What the executor did itself is noted in the folder."""
    if blamed := folder.blamed():
        return blamed
    if code == 0:
        return Reason.OK, ""
    if code == 1 and (words := not_started(folder)):
        return Reason.START, words
    if code == 128 + signal.SIGXFSZ and limits.file_size is not None:
        return Reason.FILE_SIZE, f"killed: file size limit {show_size(limits.file_size)}"
    if code == 128 + signal.SIGXCPU and limits.cpu_time is not None:
        return Reason.CPU_TIME, f"killed: CPU time limit {limits.cpu_time} s"
    reason, words = exited(code)
    return reason, f"{words}; {FULL}" if full(folder.path) else words


FULL = "the disk of the data folder is full"
_ROOM = 1 << 20  # bytes; less is none


def full(path: Path) -> bool:
    """Whether there is no room on the disk of a path, or of what is above it."""
    while not path.exists():
        path = path.parent
    there = os.statvfs(path)
    return there.f_bavail * there.f_frsize < _ROOM or (there.f_files > 0 and there.f_favail == 0)


def not_started(folder: Folder) -> str:
    """What bubblewrap said if it could not start the command; empty if it could."""
    words = folder.last_words().strip().rsplit("\n", 1)[-1]
    if not words.startswith("bwrap: "):
        return ""
    said = words.removeprefix("bwrap: ")
    if said.startswith("execvp "):
        command, _, why = said.removeprefix("execvp ").partition(": ")
        if "No such file" in why:
            return f"command not found: {command}"
        return f"cannot run {command}: {why}"
    return f"the sandbox could not be made: {said}"
