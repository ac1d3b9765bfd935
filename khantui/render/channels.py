"""A channel in full, and what a test of it brought, as lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khantui.render.moments import stamp
from khantui.render.text import visible

if TYPE_CHECKING:
    from backend.api.wire import ChannelTest, ChannelView

Line = list[tuple[str, str]]  # (text, role)


def channel_lines(view: ChannelView) -> list[Line]:
    """Everything about a channel but its URLs."""
    facts = [
        ("channel", view.name),
        ("services", ", ".join(view.services)),
        ("gathers for", f"{view.every} s"),
        ("title", view.title),
        ("body", view.body),
        ("state", view.state),
        ("waiting", str(view.waiting)),
        ("sent", f"{view.sent}" + (f", the last at {stamp(view.last_sent)}" if view.last_sent else "")),
        ("given up", str(view.dropped)),
        ("failed", f"{view.error} ({stamp(view.error_at)})" if view.error else ""),
        ("tries again", stamp(view.next_try) if view.next_try else ""),
        ("made by", view.created_by),
    ]
    return [[(f"{label:<13} ", "faint"), (visible(value), "")] for label, value in facts if value]


def answer_lines(found: ChannelTest) -> list[Line]:
    """What each service said."""
    return [
        [
            ("✔ " if answer.good else "✖ ", "succeeded" if answer.good else "failed"),
            (visible(answer.service), "strong"),
            (": it was sent" if answer.good else f": {visible(answer.said)}", ""),
        ]
        for answer in found.answers
    ]
