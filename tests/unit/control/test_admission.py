"""Which queued runs may begin."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backend.control.admission import judge
from backend.run.ids import short
from backend.run.state import Run, RunState
from backend.spec.model import Concurrency

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


def runs(states: str) -> list[Run]:
    """`r` running, `q` queued; ids in the order of the letters."""
    kinds = {"r": RunState.RUNNING, "q": RunState.QUEUED}
    return [Run(f"000000000{i}-00000{i}", "p", 1, MOMENT, state=kinds[letter]) for i, letter in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "limit", "when_full", "admitted"),
    [
        ("q", None, "queue", "q"),
        ("rrrq", None, "queue", "q"),
        ("q", 1, "queue", "q"),
        ("rq", 1, "queue", ""),
        ("rq", 2, "queue", "q"),
        ("rqq", 2, "queue", "q"),
        ("qqq", 2, "queue", "qq"),
        ("rq", 1, "skip", ""),
        ("q", 1, "skip", "q"),
        ("rq", 1, "replace", ""),
        ("qq", 1, "replace", "q"),
    ],
)
def test_as_many_are_admitted_as_the_limit_allows(
    states: str, limit: int | None, when_full: str, admitted: str
) -> None:
    active = runs(states)
    rule = Concurrency(limit, when_full)  # type: ignore[arg-type]
    verdicts = [judge(run, active, rule) for run in active if run.state is RunState.QUEUED]
    assert sum(v.admit for v in verdicts) == len(admitted)


def test_a_queued_run_says_what_it_waits_for() -> None:
    active = runs("rqq")
    verdict = judge(active[2], active, Concurrency(1))
    assert verdict.message == f"waits for run {short(active[0].id)}: 1 of 1 are active, 1 before it"


def test_skip_gives_up_at_once_and_says_why() -> None:
    active = runs("rq")
    verdict = judge(active[1], active, Concurrency(1, "skip"))
    assert verdict.skip
    assert short(active[0].id) in verdict.message


def test_replace_ends_the_oldest_and_lets_only_the_newest_begin() -> None:
    active = runs("rrqq")
    rule = Concurrency(2, "replace")
    assert judge(active[3], active, rule).replaces == (active[0].id,)
    one = Concurrency(1, "replace")
    assert judge(active[2], active, one).skip
    assert judge(active[3], active, one).replaces == (active[0].id, active[1].id)
