"""Columns of the lists on the screens: those of the command line, with what only a live view can show."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from khantui.render.moments import ago, duration, span, stamp
from khantui.render.rows import (
    backfill_columns,
    last_run,
    schedule_note,
    schedule_state,
    schedule_when,
    started_by,
    state_cell,
)
from khantui.render.status import progress_parts, symbol
from khantui.render.table import Cell, Column

if TYPE_CHECKING:
    from backend.api.wire import BackfillView, PipelineView, RunView, ScheduleView

Usual = Callable[["RunView"], tuple[list[float], float | None]]
BARS = "▁▂▃▄▅▆▇█"


def clock(moment: datetime | None, now: datetime, absolute: bool) -> str:
    """When: relative, or as it stands on the clock."""
    return stamp(moment.astimezone().replace(microsecond=0)) if absolute and moment else ago(moment, now)


def usual_cell(run: RunView, now: datetime, usual: Usual) -> Cell:
    """The last durations as bars with this run's at their end, and the median: `▂▂▁▂▇ 2m50s`."""
    took, median = usual(run)
    if median is None:
        return Cell("–", "waiting")
    mine = ((run.ended or now) - run.started).total_seconds() if run.started else 0.0
    values = [*took[-5:], mine]
    most = max(*values, 0.001)
    bars = "".join(BARS[min(len(BARS) - 1, int(v / most * (len(BARS) - 1) + 0.5))] for v in values)
    slow = mine > 2 * median and mine - median > 1
    last = (bars[-1], "warning" if slow else str(run.state))
    return Cell.of_parts(((bars[:-1], "waiting"), last, (f" {duration(median)}", "waiting")))


def live_run_columns(now: datetime, usual: Usual, absolute: bool) -> list[Column[RunView]]:
    """Runs, on a screen."""
    return [
        Column("", lambda r: Cell(symbol(r.state), r.state)),
        Column("PIPELINE", lambda r: r.pipeline, flexible=True),
        Column("RUN", lambda r: r.id[-6:], rank=5),
        Column("LOGICAL TIME", lambda r: stamp(r.logical_time), rank=4),
        Column("STATE", lambda r: Cell(str(r.state), r.state)),
        Column("STAGES", lambda r: Cell.of_parts(progress_parts(r.progress)), rank=2),
        Column("STARTED", lambda r: clock(r.started or r.created, now, absolute), rank=1, right=True),
        Column("TOOK", lambda r: span(r.started, r.ended, now), rank=1, right=True),
        Column("USUAL", lambda r: usual_cell(r, now, usual), rank=6),
        Column("BY", started_by, rank=7, flexible=True),
        Column("WHY", lambda r: r.message, rank=3, flexible=True),
    ]


def _last_runs(pipeline: PipelineView) -> Cell:
    if not pipeline.last:
        return Cell("–", "waiting")
    return Cell.of_parts(tuple((symbol(r.state), str(r.state)) for r in reversed(pipeline.last)))


def _mean(pipeline: PipelineView) -> str:
    took = [(r.ended - r.started).total_seconds() for r in pipeline.last if r.started and r.ended]
    return duration(sum(took) / len(took)) if took else "–"


def live_pipeline_columns(
    now: datetime, firing: Callable[[PipelineView], datetime | None], absolute: bool
) -> list[Column[PipelineView]]:
    """Pipelines, on a screen."""
    return [
        Column("PIPELINE", lambda p: p.name, flexible=True),
        Column("LAST RUNS", _last_runs),
        Column("LAST", lambda p: state_cell(p.last[0].state) if p.last else "–", rank=1),
        Column(
            "WHEN", lambda p: clock(p.last[0].started or p.last[0].created, now, absolute) if p.last else "–", rank=2,
            right=True,
        ),
        Column("NEXT", lambda p: clock(firing(p), now, absolute), rank=2, right=True),
        Column("MEAN", _mean, rank=3, right=True),
        Column("STAGES", lambda p: str(p.stages), rank=5, right=True),
        Column("VERSION", lambda p: f"v{p.version}", rank=5, right=True),
        Column("OWNER", lambda p: p.owner or "–", rank=6, flexible=True),
        Column("LABELS", lambda p: " ".join(f"{k}={v}" for k, v in p.labels.items()) or "–", rank=7, flexible=True),
        Column("DESCRIPTION", lambda p: p.description, rank=4, flexible=True),
    ]  # fmt: skip


def live_schedule_columns(now: datetime, absolute: bool, noted: bool = True) -> list[Column[ScheduleView]]:
    """Schedules, on a screen. `noted`: there is something to be said of one of them."""
    return [
        Column("SCHEDULE", lambda s: s.name, flexible=True),
        Column("PIPELINE", lambda s: s.pipeline, rank=2, flexible=True),
        Column("NEXT", lambda s: clock(s.next[0] if s.next else None, now, absolute), right=True),
        Column("STATE", schedule_state),
        Column("LAST RUN", last_run, rank=1),
        Column("LAST", lambda s: clock(s.last_tick, now, absolute) if s.last_run else "–", rank=3, right=True),
        Column("KIND", lambda s: s.kind, rank=5),
        Column("WHEN", schedule_when, rank=1, flexible=True),
        Column("ZONE", lambda s: s.zone, rank=6),
        Column("DEADLINE", lambda s: s.deadline or "–", rank=6),
        Column("NOTE", schedule_note, rank=1 if noted else 4, flexible=True),
    ]


def live_backfill_columns(now: datetime, absolute: bool) -> list[Column[BackfillView]]:
    """Backfills."""
    return [
        column._replace(show=lambda b: clock(b.created, now, absolute)) if column.title == "STARTED" else column
        for column in backfill_columns(now)
    ]
