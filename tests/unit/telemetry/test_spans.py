"""A run as a trace: one tree, whoever tells of its parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backend.errors import KhanError
from backend.run.state import Attempt, AttemptState, Reason, Run, RunState, StageRecord, StageState
from backend.telemetry.otlp import OtlpTraces
from backend.telemetry.spans import Span, attempt_spans, run_spans, stage_spans

START = datetime(2026, 3, 1, 6, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


ATTEMPT = Attempt(1, AttemptState.FAILED, at(2), at(9), 3, Reason.EXIT, "exit 3")
RECORD = StageRecord("a", StageState.FAILED, at(1), at(2), at(9), (ATTEMPT,), message="exit 3")
RUN = Run("0000000000-000000", "p", 1, START, state=RunState.FAILED, created=at(0), started=at(1), ended=at(10))


def tree() -> list[Span]:
    return [
        *attempt_spans(RUN, RECORD, ATTEMPT, at(3), at(4), at(9), at(9.5)),
        *stage_spans(RUN, RECORD),
        *run_spans(RUN),
    ]


def test_the_parts_of_a_run_are_one_tree_with_ids_that_follow_from_the_run() -> None:
    spans = tree()
    assert spans == tree()
    assert len({s.id for s in spans}) == len(spans)
    assert len({s.trace for s in spans}) == 1
    names = {s.id: s.name for s in spans}
    assert {s.name: names.get(s.parent, "") for s in spans} == {
        "run p": "",
        "stage a": "run p",
        "queue": "stage a",
        "attempt 1": "stage a",
        "fetch": "attempt 1",
        "start": "attempt 1",
        "command": "attempt 1",
        "publish": "attempt 1",
    }
    assert {s.name: (s.end - s.start).total_seconds() for s in spans if s.parent} == {
        "attempt 1": 7.5, "fetch": 1, "start": 1, "command": 5, "publish": 0.5, "stage a": 8, "queue": 1,
    }  # fmt: skip
    assert {s.name: s.error for s in spans if s.error} == {
        "attempt 1": "exit 3",
        "stage a": "exit 3",
        "run p": "failed",
    }


def test_parts_that_no_living_daemon_has_seen_are_left_out() -> None:
    spans = list(attempt_spans(RUN, RECORD, ATTEMPT, None, None, at(9), at(9.5)))
    assert [s.name for s in spans] == ["attempt 1", "publish"]


def test_a_retry_by_hand_is_another_root_of_the_same_trace() -> None:
    (first,) = run_spans(RUN)
    again = Run(
        **{f: getattr(RUN, f) for f in RUN.__struct_fields__} | {"round": 2, "ready_at": at(20), "ended": at(30)}
    )
    (second,) = run_spans(again)
    assert (first.trace == second.trace, first.id == second.id, second.start) == (True, False, at(20))


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(KhanError, match="is no http:// or https:// address"):
        OtlpTraces(url)
