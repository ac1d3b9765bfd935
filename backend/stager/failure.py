"""Why the stager could not do it, as the daemon says it of the attempt."""

from __future__ import annotations

from backend.errors import KhanError, said
from backend.run.state import Reason


class Failure(KhanError):
    """It could not be done, for this reason."""

    code = "stager"

    def __init__(self, reason: Reason, error: Exception, what: str = "") -> None:
        super().__init__(f"{what}: {said(error)}" if what else said(error))
        self.reason = reason
