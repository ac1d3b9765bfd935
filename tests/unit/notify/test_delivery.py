"""When a channel tells what, over its whole life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backend.notify.delivery import PATIENCE, Send, Wait, begun, decide, tried
from backend.notify.model import Delivery

NOW = datetime(2026, 3, 3, 6, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


FRESH = Delivery()
TOLD = Delivery(through=5, last_sent=NOW, sent=1)
SENDING = Delivery(through=5, sending=8, began=NOW)
RETRYING = Delivery(through=5, sending=8, began=NOW, tries=1, next_try=at(5))


@pytest.mark.parametrize(
    ("delivery", "waiting", "seconds", "what"),
    [
        (FRESH, [], 0, None),
        (FRESH, [3], 0, Send(3)),  # the first thing at once
        (FRESH, [3, 9, 4], 0, Send(9)),
        (TOLD, [6], 10, Wait(at(60))),  # what follows is gathered
        (TOLD, [6, 7], 60, Send(7)),
        (TOLD, [6], 3600, Send(6)),
        (TOLD, [6], -7200, Send(6)),  # the clock was set back
        (SENDING, [6, 8, 9], 0, Send(8)),  # after a crash: the same message, not a larger one
        (RETRYING, [6, 8, 9], 1, Wait(at(5))),
        (RETRYING, [6, 8, 9], 5, Send(8)),
    ],
)
def test_what_it_does(delivery: Delivery, waiting: list[int], seconds: float, what: object) -> None:
    assert decide(delivery, waiting, 60, at(seconds)) == what


def test_a_channel_that_was_changed_is_tried_at_once() -> None:
    assert decide(RETRYING, [8], 60, at(1), changed=True) == Send(8)


def test_a_message_that_arrived_is_done_with() -> None:
    sent = begun(FRESH, 9, NOW)
    assert (sent.sending, sent.through) == (9, 0)
    done = tried(sent, ["u"], "", at(1), items=3, channel=2)
    assert (done.through, done.sending, done.sent, done.last_sent, done.error) == (9, 0, 1, at(1), "")


def test_pauses_grow_and_a_message_is_given_up_after_an_hour() -> None:
    delivery, now, pauses = begun(FRESH, 9, NOW), NOW, []
    tries = 0
    while delivery.sending:
        tries += 1
        delivery = tried(delivery, ["good"], "bad: no", now, items=3, channel=2)
        if delivery.next_try:
            assert delivery.delivered == ("good",)  # it is not told twice for another's sake
            pauses.append((delivery.next_try - now).total_seconds())
            now = delivery.next_try
    assert pauses[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert max(pauses) == 300
    assert now - NOW < PATIENCE + timedelta(minutes=5)
    assert (delivery.through, delivery.dropped, delivery.sent, delivery.error) == (9, 3, 0, "bad: no")
    assert delivery.failed == tries
    assert tried(begun(delivery, 12, now), [], "", now, items=1, channel=2).error == ""
