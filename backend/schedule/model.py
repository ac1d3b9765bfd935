"""A schedule as it is kept: what starts runs of a pipeline without a person."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Kind = Literal["cron", "once", "every", "after"]
CatchUp = Literal["none", "latest", "all"]
Overlap = Literal["", "queue", "skip", "replace"]
Condition = Literal["succeeded", "failed", "ended"]
Join = Literal["any", "all"]
Match = Literal["date", "time", "latest"]


class Schedule(Struct, frozen=True, omit_defaults=True):
    """One schedule. Its kind says which of `cron`, `at`, `every` and `after` is meant. Spans are in seconds.

    `last_tick` is the newest moment that has been dealt with: a tick at or before it never fires again. It starts
    as the moment at which the schedule was made or resumed.
    """

    name: str
    pipeline: str
    kind: Kind
    cron: tuple[str, ...] = ()
    zone: str = "UTC"
    at: datetime | None = None
    every: int = 0  # of absolute time, counted from `start`, or from when it was made
    after: tuple[str, ...] = ()  # pipelines, or outputs of them ("pipeline/output") that must have changed
    condition: Condition = "succeeded"  # how a run of `after` must have ended to count
    join: Join = "any"  # each run that counts starts one, or only all together
    match: Match = "date"  # which runs belong together where all are needed: logical date or time, or the latest ones
    parameters: dict[str, str] = {}

    catch_up: CatchUp = "latest"  # which of the ticks missed while nobody was there to fire them are made up for
    window: int = 0  # missed ticks older than this are not made up for; 0: however old
    overlap: Overlap = ""  # what a tick does while a run of this schedule is active; "": what the pipeline says
    jitter: int = 0  # a run starts up to so long after its tick; how long follows from schedule and tick
    start: datetime | None = None  # nothing fires before
    end: datetime | None = None  # nor after
    skip: tuple[str, ...] = ()  # days on which nothing fires: 2026-12-25, 2026-12-24..2027-01-02, 12-25 (every year)
    calendars: dict[str, tuple[str, ...]] = {}  # nor on the days of these: name -> its days, as they are now
    deadline: str = ""  # when a tick's run must have ended: a wall time (07:00, 07:00+1d) or a span after the tick (2h)

    paused: bool = False
    paused_by: str = ""
    paused_reason: str = ""
    paused_until: datetime | None = None
    created: datetime | None = None
    created_by: str = ""
    last_tick: datetime | None = None
    last_run: str = ""  # id of the run that the last tick made
    done: bool = False  # it will never fire again: its moment or its end has passed
    message: str = ""  # what kept its last tick from making a run, if anything did
    met: dict[str, dict[str, datetime]] = {}  # date or time -> cause -> logical time of the run that counted
    seen: dict[str, str] = {}  # output -> hash of it that was last followed
