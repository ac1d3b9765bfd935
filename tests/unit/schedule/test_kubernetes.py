"""Times are those of Kubernetes' CronJob controller: against answers that it gave, and against itself where Go is."""

from __future__ import annotations

import json
import os
import random
import subprocess
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backend.schedule.cron import kubernetes_form, kubernetes_problems, parse_cron
from backend.schedule.times import following
from tests.unit.schedule import vectors

ANSWERED = [json.loads(line) for line in vectors.FILE.read_text().splitlines()]
needs_go = pytest.mark.skipif(vectors.go() is None, reason="asks Kubernetes' library itself: Go is not installed")


def theirs(answer: dict[str, Any]) -> list[str]:
    """Its times, as far as they go on: where clocks are put back over midnight it may come to the same one for ever."""
    times = answer.get("times") or []
    return times[: next((i for i in range(1, len(times)) if times[i] <= times[i - 1]), len(times))]


def agree(case: dict[str, Any], answer: dict[str, Any]) -> bool:
    expected = theirs(answer)
    if "error" in answer:
        return True
    return ours(case)[: len(expected) if len(expected) < len(answer.get("times") or []) else None] == expected


def ours(case: dict[str, Any]) -> list[str]:
    begin = datetime.fromisoformat(case["from"])
    found = following([parse_cron(case["expression"])], ZoneInfo(case["zone"]), begin)
    return [time.isoformat().replace("+00:00", "Z") for time in islice(found, case["count"])]


def asked(cases: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    try:
        return list(vectors.ask(cases, folder))
    except subprocess.CalledProcessError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"Kubernetes' library cannot be built here: {error.stderr!r:.300}")


def test_what_it_answered() -> None:
    assert len(ANSWERED) > 900
    wrong = [(case, ours(case)) for case in ANSWERED if not agree(case, case)]
    assert wrong == []


def test_what_it_never_came_back_from_comes_to_an_end_here() -> None:
    stuck = {"expression": "0 3 31 * *", "zone": "Pacific/Apia", "from": "2011-12-01T00:00:00Z", "count": 2}
    assert ours(stuck) == ["2011-12-30T13:00:00Z", "2012-01-30T13:00:00Z"]


@needs_go
@pytest.mark.slow
def test_the_answers_are_still_its_answers(tmp_path: Path) -> None:
    sample = ANSWERED[:100]
    given = asked([{k: c[k] for k in ("expression", "zone", "from", "count")} for c in sample], tmp_path)
    assert [answer.get("times") or [] for answer in given] == [case["times"] for case in sample]


@needs_go
@pytest.mark.slow
def test_what_is_asked_at_random(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)
    cases = [vectors.case(dice) for _ in range(3000)]
    pairs = zip(cases, asked(cases, tmp_path), strict=True)
    wrong = [(case, ours(case), answer) for case, answer in pairs if not agree(case, answer)]
    assert wrong == [], f"seed {seed}"


@needs_go
@pytest.mark.slow
def test_what_is_written_as_a_cronjob_means_the_same_there(tmp_path: Path) -> None:
    others = ["0 0 * * 7", "0 6 * * FRI-MON", "50-10 * * * *", "0 0 1-31 * 5-7", "@Daily", "0 22-4/2 * * *"]
    cases = []
    for expression in others:
        assert kubernetes_problems(expression), expression
        form = kubernetes_form(parse_cron(expression))
        assert form is not None
        cases.append({"expression": form, "zone": "UTC", "from": "2026-03-01T00:00:00Z", "count": 30})
    given = asked(cases, tmp_path)
    for expression, case, answer in zip(others, cases, given, strict=True):
        assert ours(case | {"expression": expression}) == answer["times"], expression
