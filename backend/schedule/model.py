"""A schedule as it is kept: what starts runs of a pipeline without a person."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Kind = Literal["cron", "once", "after"]
CatchUp = Literal["none", "latest", "all"]


class Schedule(Struct, frozen=True, omit_defaults=True):
    """One schedule. Its kind says which of `cron`, `at` and `after` is meant.

    `last_tick` is the newest moment that has been dealt with: a tick at or before it never fires again. It starts
    as the moment at which the schedule was made or resumed.
    """

    name: str
    pipeline: str
    kind: Kind
    cron: tuple[str, ...] = ()
    zone: str = "UTC"
    at: datetime | None = None
    after: tuple[str, ...] = ()  # pipelines; a run of any of them that succeeds starts one of ours
    parameters: dict[str, str] = {}
    catch_up: CatchUp = "latest"  # which of the ticks missed while nobody was there to fire them are made up for
    paused: bool = False
    paused_by: str = ""
    paused_reason: str = ""
    created: datetime | None = None
    created_by: str = ""
    last_tick: datetime | None = None
    last_run: str = ""  # id of the run that the last tick made
    done: bool = False  # a `once` that has fired
    message: str = ""  # what kept its last tick from making a run, if anything did
