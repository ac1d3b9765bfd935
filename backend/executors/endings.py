"""How a command ended, for people, wherever it ran."""

from __future__ import annotations

import signal

from backend.run.state import Reason


def exited(code: int) -> tuple[Reason, str]:
    """Why a command with this exit code ended, and in words: 128 and more is a signal."""
    if code == 0:
        return Reason.OK, ""
    if code in (126, 127):
        return Reason.EXIT, f"exit {code}: a command was not {'found' if code == 127 else 'executable'} (see the log)"
    if 128 < code < 128 + signal.NSIG:
        return Reason.SIGNAL, _signal(code - 128, code)
    return Reason.EXIT, f"exit {code}"


def _signal(number: int, code: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"exit {code}"
    more = ": perhaps the machine ran out of memory" if number == signal.SIGKILL else ""
    return f"killed by {name} (exit {code}){more}"
