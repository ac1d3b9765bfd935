"""What every screen has at hand: all pipelines with their newest runs, the schedules, and what runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec.structs import replace

from backend.api.wire import EventView, PipelineView, RunView, ScheduleView

LAST = 8  # runs that are remembered of each pipeline


class Overview:
    """Kept in step by events; `lacking` names what must be asked for again."""

    def __init__(self) -> None:
        self.pipelines: dict[str, PipelineView] = {}
        self.schedules: dict[str, ScheduleView] = {}
        self.under_way: dict[str, RunView] = {}  # runs that have not ended
        self.loaded = False
        self.lacking: set[tuple[str, str]] = set()  # (kind, name)

    def load(
        self, pipelines: Iterable[PipelineView], schedules: Iterable[ScheduleView], under_way: Iterable[RunView]
    ) -> None:
        """Take in everything anew."""
        self.pipelines = {p.name: p for p in pipelines}
        self.schedules = {s.name: s for s in schedules}
        self.under_way = {r.id: r for r in under_way}
        self.lacking.clear()
        self.loaded = True

    def put_pipeline(self, name: str, view: PipelineView | None) -> None:
        """A pipeline as it is now; None if it is gone."""
        if view is None:
            self.pipelines.pop(name, None)
        else:
            self.pipelines[name] = view

    def put_schedule(self, name: str, view: ScheduleView | None) -> None:
        """A schedule as it is now; None if it is gone."""
        if view is None:
            self.schedules.pop(name, None)
        else:
            self.schedules[name] = view

    def hear(self, events: Iterable[EventView]) -> bool:
        """Take in what happened: False if everything must be asked for anew."""
        for event in events:
            if event.kind == "relist":
                return False
            if event.kind == "run":
                run = msgspec.convert(event.object, RunView) if event.object is not None else None
                self._hear_run(event.id, run)
            elif event.kind in ("pipeline", "schedule"):
                if event.object is None:
                    (self.pipelines if event.kind == "pipeline" else self.schedules).pop(event.id, None)
                else:
                    self.lacking.add((event.kind, event.id))
        return True

    def _hear_run(self, identifier: str, run: RunView | None) -> None:
        if run is None or run.ended is not None:
            self.under_way.pop(identifier, None)
        else:
            self.under_way[identifier] = run
        if run is None:
            return
        pipeline = self.pipelines.get(run.pipeline)
        if pipeline is not None:
            last = {r.id: r for r in pipeline.last}
            if identifier in last and last[identifier].revision > run.revision:
                return
            last[identifier] = run
            newest = sorted(last.values(), key=lambda r: r.id, reverse=True)[:LAST]
            self.pipelines[run.pipeline] = replace(pipeline, last=tuple(newest))

    # what follows from it

    def usual(self, run: RunView) -> tuple[list[float], float | None]:
        """How long the last good runs of its pipeline took, oldest first, without this one; and the median. Seconds."""
        pipeline = self.pipelines.get(run.pipeline)
        took = [
            (r.ended - r.started).total_seconds()
            for r in reversed(pipeline.last if pipeline else ())
            if r.id != run.id and r.started and r.ended and r.state == "succeeded"
        ]
        return took, sorted(took)[len(took) // 2] if took else None

    def took(self, pipeline: str) -> float | None:
        """How long the last good runs of a pipeline took, in the middle, in seconds; None if there is none."""
        view = self.pipelines.get(pipeline)
        took = sorted(
            (r.ended - r.started).total_seconds()
            for r in (view.last if view is not None else ())
            if r.started and r.ended and r.state == "succeeded"
        )
        return took[len(took) // 2] if took else None

    def failing(self) -> list[RunView]:
        """The newest ended run of each pipeline where that has failed, newest first."""
        found = []
        for pipeline in self.pipelines.values():
            ended = next((r for r in pipeline.last if r.ended is not None and r.state != "cancelled"), None)
            if ended is not None and ended.state == "failed":
                found.append(ended)
        return sorted(found, key=lambda r: r.id, reverse=True)

    def running(self) -> int:
        """How many runs run."""
        return sum(r.state == "running" for r in self.under_way.values())

    def next_firing(self, now: datetime) -> tuple[datetime, ScheduleView] | None:
        """The next firing of all schedules."""
        firings = [(s.next[0], s) for s in self.schedules.values() if s.next and not s.paused and s.next[0] > now]
        return min(firings, key=lambda f: f[0], default=None)
