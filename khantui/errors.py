"""What can go wrong on this side, each with the exit code that the shell sees.

Failure                 1  the thing asked about failed, or does not exist
├── Misuse              2  the command makes no sense as it was given
├── Unreachable         3  no daemon answers
└── Denied              4  this identity may not do this
"""

from __future__ import annotations


class Failure(Exception):
    """What happened, and what to do about it (`hint`, may be empty)."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code  # of the API's problem, empty for our own


class Misuse(Failure):
    """The command makes no sense as it was given."""

    exit_code = 2


class Unreachable(Failure):
    """No daemon answers."""

    exit_code = 3


class Denied(Failure):
    """This identity may not do this."""

    exit_code = 4
