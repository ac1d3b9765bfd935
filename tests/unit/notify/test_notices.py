"""Which changes of a run somebody hears of, and when a pipeline has recovered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from backend.notify.model import Failing, Notice
from backend.notify.notices import judge, notices
from backend.run.state import Run, RunState

NOW = datetime(2026, 3, 3, 6, tzinfo=UTC)
RUN = Run("r", "p", 1, NOW, state=RunState.RUNNING)
ALL = {event: (event,) for event in ("failed", "recovered", "late", "succeeded")}


@pytest.mark.parametrize(
    ("notify", "change", "found"),
    [
        ({}, {"state": RunState.FAILED}, []),
        ({"late": ("a",)}, {"state": RunState.FAILED}, []),
        (ALL, {"state": RunState.FAILED}, ["r.1.failed"]),
        (ALL, {"state": RunState.FAILED, "round": 2}, ["r.2.failed"]),  # a retry is another end
        (ALL, {"state": RunState.CANCELLED}, []),
        (ALL, {"state": RunState.SUCCEEDED}, ["r.1.succeeded"]),
        ({"failed": ("a",)}, {"state": RunState.SUCCEEDED}, ["r.1.succeeded"]),  # it fails no longer
        (ALL, {"late": True}, ["r.late"]),
        (ALL, {"late": True, "state": RunState.FAILED}, ["r.late", "r.1.failed"]),
        (ALL, {}, []),
    ],
)
def test_what_is_noticed(notify: dict[str, tuple[str, ...]], change: dict[str, object], found: list[str]) -> None:
    assert list(notices(notify, RUN, replace(RUN, **change), NOW)) == found


def test_late_is_noticed_once() -> None:
    late = replace(RUN, late=True)
    assert notices(ALL, late, replace(late, state=RunState.RUNNING, message="x"), NOW) == {}


def test_recovery_is_the_first_success_after_failures_and_backfills_of_old_days_are_none() -> None:
    failed, succeeded = Notice("failed", NOW, "p"), Notice("succeeded", NOW, "p")
    once, recovered = judge(failed, RUN, None)
    assert (once, recovered) == (Failing(NOW, 1, NOW), False)
    twice, _ = judge(failed, replace(RUN, logical_time=NOW + timedelta(days=1)), once)
    assert twice == Failing(NOW, 2, NOW + timedelta(days=1))
    assert judge(succeeded, RUN, twice) == (twice, False)  # of the day before
    assert judge(succeeded, replace(RUN, logical_time=NOW + timedelta(days=1)), twice) == (None, True)
    assert judge(succeeded, RUN, None) == (None, False)
