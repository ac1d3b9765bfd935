"""A schedule that is being written: what a form holds, and what that asks the daemon for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from backend.api.wire import PutSchedule, ScheduleView
from khantui.errors import Misuse

Kind = Literal["cron", "once", "after"]
CatchUp = Literal["none", "latest", "all"]
KINDS: tuple[tuple[str, Kind], ...] = (
    ("again and again", "cron"),
    ("once", "once"),
    ("after other pipelines", "after"),
)
MISSED: tuple[tuple[str, CatchUp], ...] = (
    ("the latest is made up for", "latest"),
    ("nothing is made up for", "none"),
    ("all are made up for", "all"),
)
TIMES = (
    ("every hour", "0 * * * *"),
    ("every day at 06:00", "0 6 * * *"),
    ("every working day at 06:00", "0 6 * * MON-FRI"),
    ("every Monday at 06:00", "0 6 * * MON"),
    ("on the first of each month at 06:00", "0 6 1 * *"),
)


@dataclass(frozen=True)
class Timing:
    """The answers of the form, as they were typed. Several cron expressions have semicolons between them."""

    name: str
    pipeline: str
    kind: Kind = "cron"
    cron: str = "0 6 * * *"
    zone: str = "UTC"
    at: str = ""
    after: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    catch_up: CatchUp = "latest"

    @classmethod
    def of(cls, view: ScheduleView) -> Timing:
        """A schedule as it is."""
        cron = "; ".join(view.cron) or cls.cron
        at = view.at.replace(microsecond=0).isoformat() if view.at else ""
        return cls(view.name, view.pipeline, view.kind, cron, view.zone, at, view.after, view.parameters, view.catch_up)

    def body(self) -> PutSchedule:
        """What is asked for. Raises Misuse for what the daemon could not read; it checks the rest."""
        if not self.pipeline:
            raise Misuse("choose a pipeline")
        if not self.name:
            raise Misuse("the schedule needs a name")
        zone = self.zone.strip() or "UTC"
        given = {k: v for k, v in self.parameters.items() if v}
        if self.kind == "cron":
            crons = tuple(each.strip() for each in self.cron.split(";") if each.strip())
            return PutSchedule(self.pipeline, "cron", cron=crons, zone=zone, parameters=given, catch_up=self.catch_up)
        if self.kind == "once":
            return PutSchedule(self.pipeline, "once", at=_moment(self.at), zone=zone, parameters=given)
        return PutSchedule(self.pipeline, "after", after=self.after, zone=zone, parameters=given)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise Misuse(f"{text!r} is no time that I understand", "write 2026-11-23T06:00") from None


def free_name(pipeline: str, taken: Collection[str]) -> str:
    """A name for a schedule of a pipeline: its own, or with a number where others have it."""
    number, name = 1, pipeline
    while name in taken:
        number += 1
        name = f"{pipeline}-{number}"
    return name
