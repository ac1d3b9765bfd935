"""A schedule that is being written: what a form holds, and what that asks the daemon for. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any, Literal

from backend.api.wire import PutSchedule, ScheduleView
from backend.spec.quantity import show_duration
from khantui.errors import Misuse
from khantui.render.firings import zone_of
from khantui.state.when import moment_of, seconds_of

Kind = Literal["cron", "once", "every", "after"]
CatchUp = Literal["none", "latest", "all"]
Condition = Literal["succeeded", "failed", "ended"]
Overlap = Literal["", "queue", "skip", "replace"]
Together = Literal["any", "date", "time", "latest"]
KINDS: tuple[tuple[str, Kind], ...] = (
    ("again and again", "cron"),
    ("once", "once"),
    ("after each span of time", "every"),
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
CONDITIONS: tuple[tuple[str, Condition], ...] = (
    ("have succeeded", "succeeded"),
    ("have failed", "failed"),
    ("have ended, whatever way", "ended"),
)
TOGETHER: tuple[tuple[str, Together], ...] = (
    ("whenever one of them has", "any"),
    ("once all have, for the same date", "date"),
    ("once all have, for the same time", "time"),
    ("once all have, the latest of each", "latest"),
)
OVERLAPS: tuple[tuple[str, Overlap], ...] = (
    ("as the pipeline says", ""),
    ("wait until that has ended", "queue"),
    ("make no run", "skip"),
    ("end that first", "replace"),
)
_LAST = time.max.replace(microsecond=0)


@dataclass(frozen=True)
class Timing:
    """The answers of the form, as they were typed. Several cron expressions have semicolons between them."""

    name: str
    pipeline: str
    kind: Kind = "cron"
    cron: str = "0 6 * * *"
    zone: str = "UTC"
    at: str = ""
    every: str = "1h"
    after: tuple[str, ...] = ()
    condition: Condition = "succeeded"
    together: Together = "any"
    parameters: Mapping[str, str] = field(default_factory=dict)
    catch_up: CatchUp = "latest"
    window: str = ""
    overlap: Overlap = ""
    jitter: str = ""
    start: str = ""
    end: str = ""
    skip: str = ""
    calendars: str = ""
    deadline: str = ""

    @classmethod
    def of(cls, view: ScheduleView) -> Timing:
        """A schedule as it is."""
        return cls(
            name=view.name,
            pipeline=view.pipeline,
            kind=view.kind,
            cron="; ".join(view.cron) or cls.cron,
            zone=view.zone,
            at=view.at.replace(microsecond=0).isoformat() if view.at else "",
            every=show_duration(view.every) if view.every else cls.every,
            after=view.after,
            condition=view.condition,
            together=view.match if view.join == "all" else "any",
            parameters=view.parameters,
            catch_up=view.catch_up,
            window=_span(view.window),
            overlap=view.overlap,
            jitter=_span(view.jitter),
            start=_written(view.start, view.zone, time.min),
            end=_written(view.end, view.zone, _LAST),
            skip=" ".join(view.skip),
            calendars=" ".join(view.calendars),
            deadline=view.deadline,
        )

    def body(self) -> PutSchedule:
        """What is asked for. Raises Misuse for what the daemon could not read; it checks the rest."""
        if not self.pipeline:
            raise Misuse("choose a pipeline")
        if not self.name:
            raise Misuse("the schedule needs a name")
        zone = self.zone.strip() or "UTC"
        said: dict[str, Any] = {}
        if self.kind == "cron":
            said["cron"] = tuple(each.strip() for each in self.cron.split(";") if each.strip())
        elif self.kind == "once":
            said["at"] = moment_of(self.at.strip(), zone)
        elif self.kind == "every":
            said["every"] = seconds_of(self.every.strip(), "every")
        elif self.together == "any":
            said |= {"after": self.after, "condition": self.condition, "join": "any"}
        else:
            said |= {"after": self.after, "condition": self.condition, "join": "all", "match": self.together}
        return PutSchedule(
            pipeline=self.pipeline,
            kind=self.kind,
            zone=zone,
            parameters={k: v for k, v in self.parameters.items() if v},
            catch_up=self.catch_up,
            window=seconds_of(self.window.strip(), "no older than"),
            overlap=self.overlap,
            jitter=seconds_of(self.jitter.strip(), "jitter"),
            start=moment_of(self.start.strip(), zone) if self.start.strip() else None,
            end=moment_of(self.end.strip(), zone, last=True) if self.end.strip() else None,
            skip=_words(self.skip),
            calendars=_words(self.calendars),
            deadline=self.deadline.strip(),
            **said,
        )


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[\s,;]+", text)))


def _span(seconds: int) -> str:
    return show_duration(seconds) if seconds else ""


def _written(moment: datetime | None, zone: str, edge: time) -> str:
    """A moment as it is typed: the day alone, where it is at that edge of one."""
    if moment is None:
        return ""
    there = zone_of(zone)
    try:
        local = moment.astimezone(there)
    except OverflowError:  # the calendar has an end
        local = moment.astimezone(UTC)
    if local.time().replace(microsecond=0) == edge:
        return local.date().isoformat()
    return local.isoformat(timespec="seconds" if local.second else "minutes")


def free_name(pipeline: str, taken: Collection[str]) -> str:
    """A name for a schedule of a pipeline: its own, or with a number where others have it."""
    number, name = 1, pipeline
    while name in taken:
        number += 1
        name = f"{pipeline}-{number}"
    return name
