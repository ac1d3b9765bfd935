"""When a channel tells what: the first thing at once, what follows soon as one message; a dead service later again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from backend.notify.model import Delivery

FIRST_PAUSE = timedelta(seconds=5)  # before a message is tried again; doubled each time
LONGEST_PAUSE = timedelta(minutes=5)
PATIENCE = timedelta(hours=1)  # after which a message is given up


class Wait(Struct, frozen=True):
    """There is something to tell, but not yet."""

    until: datetime


class Send(Struct, frozen=True):
    """Tell all that was written up to this revision, as one message."""

    through: int


def decide(
    delivery: Delivery, waiting: Sequence[int], every: int, now: datetime, *, changed: bool = False
) -> Wait | Send | None:
    """What to do about what waits (revisions, all after `through`). `changed`: the channel is another one by now."""
    if not waiting:
        return None
    if delivery.sending:
        if delivery.next_try is not None and now < delivery.next_try <= now + LONGEST_PAUSE and not changed:
            return Wait(delivery.next_try)  # further ahead it is only where the clock was set back
        return Send(delivery.sending)
    if delivery.last_sent is not None:
        due = delivery.last_sent + timedelta(seconds=every)
        if delivery.last_sent <= now < due:  # a clock that was set back does not silence it
            return Wait(due)
    return Send(max(waiting))


def begun(delivery: Delivery, through: int, now: datetime) -> Delivery:
    """A message is fixed, before it is sent for the first time: after a crash the same one is sent again."""
    return replace(delivery, sending=through, began=now, tries=0, next_try=None, delivered=())


def tried(
    delivery: Delivery, delivered: Sequence[str], error: str, now: datetime, *, items: int, channel: int
) -> Delivery:
    """The message was sent: `delivered` are the fingerprints of the URLs that have it now; `error` if any failed."""
    if not error:
        done = replace(_done(delivery, now), sent=delivery.sent + 1, error="", error_at=None)
        return replace(done, channel=channel)
    began = delivery.began or now
    failed = replace(
        delivery, error=error, error_at=now, channel=channel, tries=delivery.tries + 1, failed=delivery.failed + 1
    )
    if now - began >= PATIENCE:
        return replace(_done(failed, now), dropped=delivery.dropped + items)
    pause = min(FIRST_PAUSE * 2 ** min(delivery.tries, 16), LONGEST_PAUSE)
    return replace(failed, delivered=tuple(delivered), next_try=now + pause)


def _done(delivery: Delivery, now: datetime) -> Delivery:
    return replace(
        delivery,
        through=max(delivery.through, delivery.sending),
        sending=0,
        began=None,
        tries=0,
        next_try=None,
        delivered=(),
        last_sent=now,
    )
