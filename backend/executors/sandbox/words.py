"""How a process ended, for people."""

from __future__ import annotations

import signal

from backend.executors.endings import exited
from backend.executors.sandbox.folder import Folder
from backend.executors.sandbox.limits import Limits, show_size
from backend.room import full
from backend.run.state import Reason

FULL = "the disk of the data folder is full"


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
