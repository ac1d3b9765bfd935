"""Filters of `khantui runs`, and how runs and schedules are put into words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from khantui.cli.preview import moment_lines
from khantui.cli.runs import language
from khantui.errors import Misuse

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), ""),
        (("etl",), "pipeline=etl"),
        (("failed",), "state=failed"),
        (("state=failed,queued", "pipeline=etl"), "state=failed,queued pipeline=etl"),
        (("pipeline~learn age<2h",), "'pipeline~learn' 'age<2h'"),
        (("!test", "-l", "team"), "'!test' -l team"),
        (("message~'no space left'",), "'message~no space left'"),
    ],
)
def test_filters(filters: tuple[str, ...], expected: str) -> None:
    assert language(filters) == expected


def test_an_open_quote_is_refused() -> None:
    with pytest.raises(Misuse, match="open quote"):
        language(("message~'no space",))


def test_firings_say_where_the_clocks_change() -> None:
    moments = [datetime(2026, 3, 28, 5, tzinfo=UTC), datetime(2026, 3, 29, 4, tzinfo=UTC)]
    assert list(moment_lines(moments, "Europe/Berlin", datetime(2026, 3, 27, 5, tzinfo=UTC))) == [
        "  Sat 2026-03-28 06:00  (05:00 UTC)  in 1d",
        "  Sun 2026-03-29 06:00  (04:00 UTC)  in 1d  ~ the clocks have changed",
    ]
