"""Which queued runs may begin."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from backend.control.admission import judge
from backend.run.ids import short
from backend.run.state import Run, RunState, Trigger
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


def own(states: str, overlap: str) -> list[Run]:
    """Runs of one schedule that says what becomes of overlaps."""
    trigger = Trigger("schedule", schedule="s", overlap=overlap)  # type: ignore[arg-type]
    return [replace(run, trigger=trigger) for run in runs(states)]


@pytest.mark.parametrize(
    ("states", "overlap", "limit", "admitted", "replaced"),
    [
        ("q", "queue", None, "q", 0),
        ("rq", "queue", None, "", 0),
        ("rqq", "queue", None, "", 0),
        ("qq", "queue", None, "q", 0),
        ("rq", "queue", 5, "", 0),
        ("rq", "replace", None, "", 1),
        ("rqq", "replace", None, "", 1),
        ("q", "replace", 1, "q", 0),
        ("rq", "skip", None, "q", 0),  # whether there is a run at all was decided before
        ("rq", "skip", 1, "", 0),
    ],
)
def test_a_schedule_says_what_becomes_of_its_overlaps(
    states: str, overlap: str, limit: int | None, admitted: str, replaced: int
) -> None:
    active = own(states, overlap)
    verdicts = [judge(run, active, Concurrency(limit)) for run in active if run.state is RunState.QUEUED]
    assert sum(v.admit for v in verdicts) == len(admitted)
    assert sum(len(v.replaces) for v in verdicts) == replaced


def test_a_schedules_rule_stands_for_the_pipelines_where_others_fill_it() -> None:
    mine = own("rq", "skip")[1]
    others = runs("r")
    assert judge(mine, [*others, mine], Concurrency(1, "queue")).skip
    mine = replace(mine, trigger=replace(mine.trigger, overlap="replace"))
    assert judge(mine, [*others, mine], Concurrency(1, "queue")).replaces == (others[0].id,)


def test_runs_of_other_schedules_are_not_overlaps() -> None:
    mine = own("rq", "queue")[1]
    others = [replace(run, trigger=Trigger("schedule", schedule="t", overlap="queue")) for run in runs("r")]
    assert judge(mine, [*others, mine], Concurrency()).admit


def filled(states: str) -> list[Run]:
    """`R` and `Q` are of a backfill, `r` and `q` of no one; ids in the order of the letters."""
    trigger = Trigger("backfill", backfill="abcdef")
    plain = zip(states, runs(states.lower()), strict=True)
    return [replace(run, trigger=trigger) if letter.isupper() else run for letter, run in plain]


@pytest.mark.parametrize("when_full", ["queue", "skip", "replace"])
@pytest.mark.parametrize(
    ("states", "limit", "admitted"),
    [
        ("QQQ", None, "QQQ"),
        ("QQQ", 2, "QQ"),
        ("RQ", 1, ""),
        ("rQ", 1, ""),
        ("Qq", 1, "q"),  # whatever is no backfill's comes first, also if it was made later
        ("QQq", 2, "qQ"),
        ("Rq", 1, ""),
        ("Rq", 2, "q"),
        ("RRq", 2, ""),
        ("rRq", 2, ""),
        ("RRRq", 2, ""),
    ],
)
def test_backfills_give_way_and_nobody_gives_up_for_them(
    states: str, limit: int | None, admitted: str, when_full: str
) -> None:
    active = filled(states)
    rule = Concurrency(limit, when_full)  # type: ignore[arg-type]
    verdicts = [judge(run, active, rule) for run in active if run.state is RunState.QUEUED]
    assert sum(v.admit for v in verdicts) == len(admitted)
    assert all(v.admit or v.message for v in verdicts)
    assert not any(v.skip or v.replaces for v in verdicts)


def test_rules_among_others_hold_beside_a_backfill() -> None:
    assert judge(filled("Rrq")[2], filled("Rrq"), Concurrency(1, "skip")).skip
    active = filled("Rrq")
    assert judge(active[2], active, Concurrency(1, "replace")).replaces == (active[1].id,)
