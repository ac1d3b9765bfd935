"""Which columns the lists have, and what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from khantui.render.moments import ago, size, span, stamp
from khantui.render.status import progress_parts, symbol
from khantui.render.table import Cell, Column

if TYPE_CHECKING:
    from backend.api.wire import (
        ArtifactView,
        BackfillView,
        CalendarView,
        ChannelView,
        ImageView,
        PipelineView,
        ResultView,
        RunView,
        ScheduleView,
        StageView,
        VersionView,
    )


def state_cell(state: str, more: str = "") -> Cell:
    """Symbol and word, in the state's colour."""
    return Cell(f"{symbol(state)} {state}{more}", state)


def short(identifier: str) -> str:
    """The part of a run's id that people use."""
    return identifier[-6:]


def started_by(run: RunView) -> str:
    """What or who started a run."""
    trigger = run.trigger
    if trigger.kind == "schedule":
        return trigger.schedule
    if trigger.kind == "after":
        return f"after {short(trigger.run)}"
    if trigger.kind == "retry":
        return f"retry of {short(trigger.run)}"
    if trigger.kind == "backfill":
        return f"backfill {trigger.backfill}"
    return trigger.by or "by hand"


def run_columns(now: datetime) -> list[Column[RunView]]:
    """Runs."""
    return [
        Column("RUN", lambda r: short(r.id)),
        Column("PIPELINE", lambda r: r.pipeline, flexible=True),
        Column("LOGICAL TIME", lambda r: stamp(r.logical_time), rank=3),
        Column("STATE", lambda r: state_cell(r.state)),
        Column("STAGES", lambda r: Cell.of_parts(progress_parts(r.progress)), rank=2),
        Column("STARTED", lambda r: ago(r.started or r.created, now), rank=1, right=True),
        Column("TOOK", lambda r: span(r.started, r.ended, now), rank=1, right=True),
        Column("BY", started_by, rank=4, flexible=True),
        Column("WHY", lambda r: r.message, rank=2, flexible=True),
    ]


def stage_columns(now: datetime) -> list[Column[StageView]]:
    """Stages of a run."""
    return [
        Column("STAGE", lambda s: s.name, flexible=True),
        Column("STATE", lambda s: state_cell(s.state)),
        Column("TRY", lambda s: str(len(s.attempts) or "–"), rank=3, right=True),
        Column("TOOK", lambda s: span(s.started, s.ended, now), rank=1, right=True),
        Column("IMAGE", lambda s: s.image, rank=4),
        Column("NEEDS", lambda s: ", ".join(s.needs) or "–", rank=2, flexible=True),
        Column("WHY", stage_reason, flexible=True),
    ]


def stage_reason(stage: StageView) -> str:
    """Why a stage is where it is."""
    if stage.message:
        return stage.message
    last = stage.attempts[-1] if stage.attempts else None
    if last is not None and last.message and stage.state in ("failed", "retrying", "cancelled"):
        return last.message
    return f"reused from {short(stage.reused_from)}" if stage.reused_from else ""


def why_columns() -> list[Column[StageView]]:
    """Stages of a run, and why each ran or did not."""
    return [
        Column("STAGE", lambda s: s.name, flexible=True),
        Column("STATE", lambda s: state_cell(s.state)),
        Column("WHY", stage_cause, flexible=True),
    ]


def stage_cause(stage: StageView) -> str:
    """Why a stage ran or was reused, and why it is where it is."""
    waits = "" if stage.reused_from else stage_reason(stage)
    return " · ".join(filter(None, (stage.reason, waits))) or "–"


def result_columns(now: datetime) -> list[Column[ResultView]]:
    """Results that may stand for later ones."""
    return [
        Column("STAGE", lambda r: r.instance, flexible=True),
        Column("RUN", lambda r: short(r.run)),
        Column("WHEN", lambda r: ago(r.at, now), rank=1),
        Column("SIZE", lambda r: size(r.bytes), right=True, rank=2),
        Column("MADE FROM", lambda r: r.fingerprint[:12], rank=3),
    ]


def history_bar(runs: Sequence[RunView]) -> str:
    """The newest runs as symbols, the newest last."""
    return "".join(symbol(r.state) for r in reversed(runs)) or "–"


def pipeline_columns(now: datetime) -> list[Column[PipelineView]]:
    """Pipelines."""
    return [
        Column("PIPELINE", lambda p: p.name, flexible=True),
        Column("VERSION", lambda p: f"v{p.version}", right=True, rank=2),
        Column("STAGES", lambda p: str(p.stages), right=True, rank=3),
        Column("LAST RUN", lambda p: state_cell(p.last[0].state) if p.last else "–"),
        Column("WHEN", lambda p: ago(p.last[0].started or p.last[0].created, now) if p.last else "–", rank=1),
        Column("RUNS", lambda p: history_bar(p.last), rank=3),
        Column("SCHEDULES", lambda p: ", ".join(p.schedules) or "–", rank=2, flexible=True),
        Column("OWNER", lambda p: p.owner or "–", rank=5, flexible=True),
        Column("DESCRIPTION", lambda p: p.description, rank=4, flexible=True),
    ]


def version_columns(now: datetime) -> list[Column[VersionView]]:
    """Versions of a pipeline."""
    return [
        Column("VERSION", lambda v: f"v{v.version}", right=True),
        Column("", lambda v: "current" if v.current else ""),
        Column("WHEN", lambda v: ago(v.created, now), right=True),
        Column("BY", lambda v: v.created_by or "–", rank=1),
        Column("CODE", lambda v: v.bundle[:12] or "–", rank=2),
        Column("MESSAGE", lambda v: v.message, flexible=True),
    ]


def schedule_when(schedule: ScheduleView) -> str:
    """When a schedule fires, in a few words."""
    return f"at {stamp(schedule.at)}" if schedule.kind == "once" else schedule.when


def schedule_columns(now: datetime) -> list[Column[ScheduleView]]:
    """Schedules."""
    return [
        Column("SCHEDULE", lambda s: s.name, flexible=True),
        Column("PIPELINE", lambda s: s.pipeline, rank=1, flexible=True),
        Column("WHEN", schedule_when, flexible=True),
        Column("STATE", schedule_state),
        Column("NEXT", lambda s: ago(s.next[0], now) if s.next else "–", right=True),
        Column("LAST", lambda s: ago(s.last_tick, now) if s.last_run else "–", rank=3, right=True),
        Column("LAST RUN", last_run, rank=2),
        Column("NOTE", schedule_note, rank=4, flexible=True),
    ]


def schedule_state(schedule: ScheduleView) -> Cell:
    """Whether a schedule starts runs at present."""
    if schedule.done:
        return Cell("done", "skipped")
    if schedule.paused:
        by = f" by {schedule.paused_by}" if schedule.paused_by else ""
        return Cell(f"paused{by}", "warning")
    return Cell("active", "succeeded")


def last_run(schedule: ScheduleView) -> Cell:
    """How the last run of a schedule went, and whether it is late."""
    if not schedule.last_state:
        return Cell("–")
    return Cell.of_parts(((f"{symbol(schedule.last_state)} {schedule.last_state}", schedule.last_state),
                          (" · late" if schedule.late else "", "failed")))  # fmt: skip


def schedule_note(schedule: ScheduleView) -> str:
    """Until when and why a schedule is paused, or what kept its last firing from making a run."""
    until = f"until {stamp(schedule.paused_until)}" if schedule.paused_until else ""
    return ": ".join(filter(None, (until, schedule.paused_reason))) if schedule.paused else schedule.message


def backfill_columns(now: datetime) -> list[Column[BackfillView]]:
    """Backfills."""
    return [
        Column("BACKFILL", lambda b: b.id),
        Column("PIPELINE", lambda b: b.pipeline, flexible=True),
        Column("STATE", lambda b: state_cell(b.state)),
        Column("RUNS", lambda b: Cell.of_parts(progress_parts(b.progress))),
        Column("FAILED", lambda b: str(b.progress["failed"] or "–"), rank=2, right=True),
        Column("FROM", lambda b: stamp(b.start), rank=3),
        Column("TO", lambda b: stamp(b.end), rank=3),
        Column("STEP", lambda b: b.step, rank=4, flexible=True),
        Column("STARTED", lambda b: ago(b.created, now), rank=1, right=True),
        Column("TOOK", lambda b: span(b.created, b.ended, now), rank=2, right=True),
        Column("BY", lambda b: b.created_by, rank=5, flexible=True),
        Column("NOTE", backfill_note, rank=3, flexible=True),
    ]


def backfill_note(backfill: BackfillView) -> str:
    """What keeps a backfill from going on."""
    return backfill.message or (f"paused by {backfill.paused_by}" if backfill.paused_by else "")


def artifact_columns() -> list[Column[ArtifactView]]:
    """Artifacts of a run."""
    return [
        Column("ARTIFACT", artifact_name, flexible=True),
        Column("ROLE", lambda a: a.role),
        Column("STAGE", lambda a: a.stage or "–", rank=1),
        Column("KIND", lambda a: a.record.kind, rank=2),
        Column("SIZE", lambda a: size(a.record.bytes), right=True),
        Column("FILES", lambda a: str(a.record.files), rank=3, right=True),
        Column("SHA-256", lambda a: a.record.sha256[:12], rank=4),
        Column("URI", lambda a: a.record.uri or "–", rank=3, flexible=True),
    ]


def artifact_name(artifact: ArtifactView) -> str:
    """`report`, or `report/2025` where each instance wrote its own entry."""
    return f"{artifact.name}/{artifact.entry}" if artifact.entry else artifact.name


def _holds(image: ImageView) -> str:
    return ", ".join(f"{what} {version}" for what, version in image.holds.items())


def image_columns() -> list[Column[ImageView]]:
    """Images."""
    return [
        Column("IMAGE", lambda i: i.name),
        Column("HERE", lambda i: Cell("✔ yes", "succeeded") if i.available else Cell("✖ no", "failed")),
        Column("DESCRIPTION", lambda i: i.description, flexible=True),
        Column("RUNS ON", lambda i: ", ".join(i.executors), rank=2),
        Column("SCRIPTS GO TO", lambda i: " ".join(i.interpreter), rank=4),
        Column("CONTAINER HOLDS", _holds, rank=3, flexible=True),
        Column("SIZE", lambda i: "–" if i.size is None else size(i.size), rank=4, right=True),
        Column("DIGEST", lambda i: i.digest.removeprefix("sha256:")[:12] or "–", rank=5),
        Column("WHY NOT", lambda i: i.reason, rank=1, flexible=True),
    ]


def calendar_columns(now: datetime) -> list[Column[CalendarView]]:
    """Calendars."""
    return [
        Column("CALENDAR", lambda c: c.name),
        Column("DAYS", lambda c: str(len(c.days)), right=True),
        Column("USED BY", lambda c: ", ".join(c.schedules) or "–", flexible=True),
        Column("CHANGED", lambda c: ago(c.updated, now), rank=2, right=True),
        Column("BY", lambda c: c.updated_by or "–", rank=3),
        Column("DESCRIPTION", lambda c: c.description, rank=1, flexible=True),
    ]


_CHANNEL_STATES = {"idle": "succeeded", "waiting": "warning", "failing": "failed"}


def channel_columns() -> list[Column[ChannelView]]:
    """Channels for notifications."""
    return [
        Column("CHANNEL", lambda c: c.name),
        Column("STATE", lambda c: Cell(c.state, _CHANNEL_STATES[c.state])),
        Column("SERVICES", lambda c: ", ".join(c.services), flexible=True),
        Column("WAITING", lambda c: str(c.waiting), right=True, rank=2),
        Column("SENT", lambda c: str(c.sent), right=True, rank=2),
        Column("GIVEN UP", lambda c: str(c.dropped), right=True, rank=3),
        Column("LAST", lambda c: stamp(c.last_sent), rank=3),
        Column("ERROR", lambda c: c.error or "–", rank=1, flexible=True),
    ]
