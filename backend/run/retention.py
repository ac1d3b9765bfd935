"""Which ended runs of a pipeline have had their time. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from backend.run.state import Run
from backend.spec.model import Retention

GRACE = timedelta(seconds=60)  # after its end: until then its logs may still be on their way to the archive


def leaves(run: Run, newer: int, retention: Retention) -> datetime | None:
    """When a run is to be removed, if there are `newer` ones; None: not, unless there are more.

    A run that has not ended is never removed.
    """
    if not run.state.ended or run.ended is None:
        return None
    moments = []
    if retention.runs is not None and newer >= retention.runs:
        moments.append(run.ended + GRACE)
    if retention.age is not None:
        moments.append(run.ended + max(timedelta(seconds=retention.age), GRACE))
    return min(moments, default=None)
