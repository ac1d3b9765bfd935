"""What is kept of notifications: channels, what has happened, what is still to be told, and how telling goes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Event = Literal["failed", "recovered", "late", "paused", "succeeded"]
EVERY = 60  # seconds for which a channel gathers, after it has told something


class Channel(Struct, frozen=True, omit_defaults=True):
    """Where messages go: URLs of services. They hold secrets, and are shown to nobody."""

    name: str
    urls: tuple[str, ...]
    shown: tuple[str, ...]  # what may be shown of each URL
    every: int = EVERY  # seconds between two messages; what happens meanwhile becomes one
    title: str = ""  # templates; empty: our own words
    body: str = ""
    created: datetime | None = None
    created_by: str = ""


class Notice(Struct, frozen=True, omit_defaults=True):
    """Something has happened of which channels may want to hear. Written together with what it is about."""

    event: Event
    at: datetime
    pipeline: str
    channels: tuple[str, ...] = ()
    recovered: tuple[str, ...] = ()  # of a success: who hears of it if the pipeline was failing
    run: str = ""
    schedule: str = ""
    by: str = ""
    reason: str = ""
    until: datetime | None = None


class Failing(Struct, frozen=True):
    """A pipeline whose newest run to end has failed."""

    since: datetime
    failures: int  # in a row
    logical_time: datetime  # of the newest run that failed


class Item(Struct, frozen=True, omit_defaults=True):
    """What a channel is still to tell. `key` is the same however often it is told."""

    key: str
    event: Event
    at: datetime
    pipeline: str
    run: str = ""
    schedule: str = ""
    logical_time: datetime | None = None
    stage: str = ""
    message: str = ""
    error: str = ""  # the first line of the failed stage's log that speaks of an error
    since: datetime | None = None  # when it began to fail
    failures: int = 0
    due_by: datetime | None = None
    by: str = ""
    reason: str = ""
    until: datetime | None = None


class Message(Struct, frozen=True):
    """What is sent."""

    title: str
    body: str
    kind: Literal["info", "success", "warning", "failure"]


class Delivery(Struct, frozen=True, omit_defaults=True):
    """How far a channel has come. Revisions are those at which what it is to tell was written."""

    through: int = 0  # everything up to this revision is done with
    sending: int = 0  # what was written up to this revision is one message, on its way; 0: none is
    began: datetime | None = None  # when that message was first sent
    tries: int = 0
    next_try: datetime | None = None
    delivered: tuple[str, ...] = ()  # fingerprints of the URLs that have it
    channel: int = 0  # revision of the channel that it was last tried with
    last_sent: datetime | None = None
    sent: int = 0  # messages
    failed: int = 0  # tries that failed, of whatever message
    dropped: int = 0  # what was given up, and never told
    error: str = ""  # what the service said when it last failed, until it works again
    error_at: datetime | None = None
