"""A schedule that is being written: what a form holds, and what that asks the daemon for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from backend.api.wire import PutSchedule, ScheduleView
from khantui.errors import Misuse

Kind = Literal["cron", "once", "every", "after"]
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
    rest: Mapping[str, Any] = field(default_factory=dict)  # what the form does not ask about: it stays as it is

    @classmethod
    def of(cls, view: ScheduleView) -> Timing:
        """A schedule as it is."""
        cron = "; ".join(view.cron) or cls.cron
        at = view.at.replace(microsecond=0).isoformat() if view.at else ""
        asked = {"pipeline", "kind", "cron", "zone", "at", "after", "parameters", "catch_up"}
        rest = {f: getattr(view, f) for f in PutSchedule.__struct_fields__ if f not in asked and hasattr(view, f)}
        return cls(
            view.name, view.pipeline, view.kind, cron, view.zone, at, view.after, view.parameters, view.catch_up, rest
        )

    def body(self) -> PutSchedule:
        """What is asked for. Raises Misuse for what the daemon could not read; it checks the rest."""
        if not self.pipeline:
            raise Misuse("choose a pipeline")
        if not self.name:
            raise Misuse("the schedule needs a name")
        said: dict[str, Any] = {
            "pipeline": self.pipeline,
            "kind": self.kind,
            "zone": self.zone.strip() or "UTC",
            "parameters": {k: v for k, v in self.parameters.items() if v},
            "catch_up": self.catch_up,
        }
        if self.kind == "cron":
            said["cron"] = tuple(each.strip() for each in self.cron.split(";") if each.strip())
        elif self.kind == "once":
            said["at"] = _moment(self.at)
        elif self.kind == "after":
            said["after"] = self.after
        kept = {name: value for name, value in self.rest.items() if name != "every" or self.kind == "every"}
        return PutSchedule(**{**kept, **said})


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
