"""An entry of the journal, for people: what differs, and nothing that acts on the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from backend.api.wire import AuditView, ChangedView
from khantui.render.audit import entry_lines

NOW = datetime(2026, 11, 25, 6, tzinfo=UTC)


def entry(*changes: ChangedView, **more: Any) -> AuditView:
    given: dict[str, Any] = {
        "who": "ann",
        "what": "put_schedule",
        "target": "p",
        "origin": "unix",
        "detail": {},
        **more,
    }
    return AuditView("01m899wbrs-r1b3mc", NOW, **given | more, changes=changes)


def test_of_what_was_changed_only_what_differs_is_shown() -> None:
    change = ChangedView("schedules/p", {"cron": ["@daily"], "zone": "UTC"}, {"cron": ["@hourly"], "zone": "UTC"})
    lines = list(entry_lines(entry(change, reason="ticket 17")))
    assert lines[-3:] == ["schedules/p", '  - cron: ["@daily"]', '  + cron: ["@hourly"]']
    assert "reason          ticket 17" in lines


def test_what_is_made_and_what_is_gone_is_shown_whole() -> None:
    made, gone = ChangedView("a/b", None, {"x": 1}), ChangedView("a/c", {"y": "z"}, None)
    assert list(entry_lines(entry(made, gone)))[-5:] == ["a/b", "  + x: 1", "", "a/c", "  - y: z"]


@pytest.mark.attack
def test_nothing_that_somebody_wrote_acts_on_the_terminal() -> None:
    evil = "\x1b]0;owned\x07"
    shown = entry(
        ChangedView(evil, None, {evil: evil}),
        who=evil, target=evil, origin=evil, client=evil, reason=evil, detail={evil: evil},
    )  # fmt: skip
    assert "\x1b" not in "".join(entry_lines(shown))
    assert "\x07" not in "".join(entry_lines(shown))
