"""What messages say, and what templates may ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from backend.errors import InvalidRequest
from backend.notify.model import Channel, Item
from backend.notify.words import check, compose

AT = datetime(2026, 3, 3, 6, 2, tzinfo=UTC)
RUN = "06f2k9x4qe-7f3k2a"
CHANNEL = Channel("oncall", ("json://h/x",), ("json://h/…",))
FAILED = Item(
    f"{RUN}.1.failed", "failed", AT, "weather", RUN, logical_time=AT, stage="clean", message="clean: exit 1",
    error="KeyError: 'x'", since=AT, failures=1,
)  # fmt: skip


def test_a_failure_says_what_why_and_what_to_type() -> None:
    message = compose(CHANNEL, [FAILED])
    assert (message.title, message.kind) == ("weather failed", "failure")
    assert message.body.splitlines() == [
        "clean: exit 1",
        "first error: KeyError: 'x'",
        "for 2026-03-03T06:02:00+00:00",
        "khantui logs 7f3k2a",
        f"[{RUN}.1.failed]",
    ]


@pytest.mark.parametrize(
    ("change", "title", "line"),
    [
        ({"failures": 4, "since": AT - timedelta(hours=27)}, "weather failed, 4 times in a row",
         "failing since 2026-03-02 03:02 UTC (1d3h)"),
        ({"event": "recovered", "failures": 2, "since": AT - timedelta(minutes=90), "error": ""},
         "weather has recovered after 1h30m", "2 runs had failed since 2026-03-03 04:32 UTC"),
        ({"event": "late", "due_by": AT}, "weather is late", "should have ended by 2026-03-03 06:02 UTC"),
        ({"event": "paused", "run": "", "schedule": "daily", "by": "ada", "reason": "it moves"},
         "the schedule daily is paused", "paused by ada"),
        ({"error": "\x1b[31mred\u202e"}, "weather failed", "first error: \\x1b[31mred\\u202e"),
    ],
)  # fmt: skip
def test_other_things(change: dict[str, object], title: str, line: str) -> None:
    message = compose(CHANNEL, [replace(FAILED, **change)])
    assert message.title == title
    assert line in message.body.splitlines()


def test_many_things_are_one_message() -> None:
    items = [replace(FAILED, pipeline=f"p{n}", key=str(n)) for n in range(30)]
    message = compose(CHANNEL, items)
    assert message.title == "30 pipelines fail: p0, p1, p2 and 27 more"
    lines = message.body.splitlines()
    assert lines[0] == "p0 failed: KeyError: 'x' (khantui logs 7f3k2a)"
    assert lines[20:] == ["and 10 more: khantui runs"]
    both = compose(CHANNEL, [FAILED, FAILED, replace(FAILED, event="paused", schedule="daily")])
    assert both.title == "weather failed, 2 times; daily is paused"
    assert both.kind == "failure"


def test_templates_say_it_in_other_words() -> None:
    channel = replace(CHANNEL, title="[$event]\n$pipeline", body="$error $$1 ${failures}")
    message = compose(channel, [FAILED])
    assert (message.title, message.body) == ("[failed] weather", "KeyError: 'x' $1 1")
    assert compose(channel, [FAILED, FAILED]).body == "KeyError: 'x' $1 1\n\nKeyError: 'x' $1 1"


def test_what_a_user_wrote_is_no_template() -> None:
    assert "$pipeline" in compose(CHANNEL, [replace(FAILED, error="$pipeline")]).body


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("$pipelin", "no field $pipelin"),
        ("costs $5", "not followed"),
        ("${run.id}", "not followed"),
        ("x" * 5000, "longer"),
    ],
)
def test_templates_that_are_refused(template: str, wrong: str) -> None:
    with pytest.raises(InvalidRequest, match=wrong.replace("$", r"\$")):
        check(template, "body")
