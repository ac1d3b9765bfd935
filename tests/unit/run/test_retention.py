"""When ended runs have had their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backend.run.retention import GRACE, leaves
from backend.run.state import Run, RunState
from backend.spec.model import Retention

END = datetime(2026, 3, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)
BOTH = Retention(3, DAY.total_seconds())


@pytest.mark.parametrize(
    ("retention", "newer", "moment"),
    [
        (Retention(), 10_000, None),
        (Retention(3), 2, None),
        (Retention(3), 3, END + GRACE),
        (Retention(age=DAY.total_seconds()), 0, END + DAY),
        (Retention(age=1.0), 0, END + GRACE),  # its logs are given the time to be archived
        (BOTH, 2, END + DAY),
        (BOTH, 3, END + GRACE),
    ],
)
def test_a_run_is_removed_for_whichever_reason_comes_first(
    retention: Retention, newer: int, moment: datetime | None
) -> None:
    run = Run("0000000000-000000", "p", 1, END, state=RunState.FAILED, ended=END)
    assert leaves(run, newer, retention) == moment


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.RUNNING])
def test_what_has_not_ended_is_never_removed(state: RunState) -> None:
    assert leaves(Run("0000000000-000000", "p", 1, END, state=state), 10_000, BOTH) is None
