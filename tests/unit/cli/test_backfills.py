"""Backfills from the command line: which word is meant, and what is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import pytest

from backend.api.wire import BackfillMoment, BackfillPreview, BackfillView
from khantui.cli.backfills import _lines, _would, backfill
from khantui.cli.session import Session

START = datetime(2026, 3, 1, tzinfo=UTC)
END = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["p", "--from", "x"], ["start", "p"]),
        (["--from", "x", "p"], ["start", "--from"]),
        (["start", "p"], ["start", "p"]),
        (["pause", "7f3k2a"], ["pause", "7f3k2a"]),
        (["-o", "json", "cancel", "7f3k2a"], ["cancel", "7f3k2a"]),
        (["--output=json", "p"], ["start", "p"]),
        (["--data", "pause", "p"], ["start", "p"]),
    ],
)
def test_the_name_of_a_pipeline_stands_for_start(args: list[str], words: list[str]) -> None:
    context = click.Context(backfill, obj=Session())
    backfill.parse_args(context, args)
    assert [*context._protected_args, *context.args][:2] == words  # what click goes on with


def test_a_backfill_is_shown_with_what_to_do() -> None:
    counts = dict.fromkeys(("total", "waiting", "running", "skipped", "succeeded", "failed", "cancelled"), 0)
    fields: dict[str, Any] = {
        **dict.fromkeys(("schedule", "created_by", "message", "paused_by"), ""),
        **dict.fromkeys(("created", "ended", "cursor")),
    }
    fields |= {"id": "7f3k2a", "pipeline": "p", "start": START, "end": END, "step": "1d", "zone": "UTC"}
    fields |= {"parameters": {"r": "eu\x1b"}, "parallel": 4, "order": "oldest", "rerun": False, "state": "paused"}
    fields |= {"active": (), "revision": 1, "message": "there is no pipeline 'p'"}
    fields["progress"] = counts | {"total": 31, "succeeded": 9, "failed": 2, "skipped": 1}
    text = "\n".join(_lines(Session(), BackfillView(**fields)))
    for words in (
        *("‖ paused", "12/31", "9 succeeded, 2 failed, 1 good already", "4 at once", "r=eu␛", "there is no pipeline"),
        *("khantui backfill resume 7f3k2a", "khantui runs backfill=7f3k2a state=failed"),
    ):
        assert words in text, text


def test_a_dry_run_says_what_is_left_out_and_what_is_not_listed() -> None:
    moments = (BackfillMoment(START, "", {"DAY": "2026-03-01"}), BackfillMoment(END, "06f2k9x4qe-7f3k2a", {}))
    seen = BackfillPreview("p", 3, START, END, "1d", "UTC", {}, total=31, good=4, moments=moments)
    assert list(_would(seen)) == [
        "27 runs of p v3 from 2026-03-01 00:00 to 2026-03-31 23:59, step 1d",
        "4 of 31 logical times are good already and left out; --rerun takes them too",
        "  Sun 2026-03-01 00:00 +0000  DAY=2026-03-01",
        "  Tue 2026-03-31 23:59 +0000  good: 7f3k2a",
        "  … and 29 more",
    ]
