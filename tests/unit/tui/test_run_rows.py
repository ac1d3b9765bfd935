"""The rows of a list of runs of which it is not known how many there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from backend.api.views import run_view
from backend.api.wire import Page
from backend.run.ids import new_id
from backend.run.state import Run
from khantui.state.runs import Query, RunRows

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def runs(count: int, before: int = 0) -> list[Any]:
    """So many runs as they come over HTTP, the newest first."""
    found = []
    for number in range(before, before + count):
        at = NOW - timedelta(minutes=number)
        found.append(msgspec.to_builtins(run_view(Run(new_id(at, str(number)), "sales-eu", 1, at, created=at), 1)))
    return found


def test_who_may_see_some_pipelines_scrolls_through_all_their_runs() -> None:
    rows = RunRows(Query())
    rows.begin(rows.first(), Page(runs(200), "further", None, 5), NOW)
    assert (rows.count, rows.more) == (200, True)
    (request,) = rows.wanted(150, 199)
    assert request.parameters == {"cursor": "further", "limit": 200}
    rows.take(request, Page(runs(50, 200), None, None, 5))
    assert (rows.count, rows.more) == (250, False)
    assert rows.row(249) is not None


def test_a_single_page_is_all_there_is() -> None:
    rows = RunRows(Query())
    rows.begin(rows.first(), Page(runs(7), None, None, 5), NOW)
    assert (rows.count, rows.more) == (7, False)
