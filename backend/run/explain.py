"""Why a stage is where it is, in a sentence: anything that waits says what it waits for."""

from __future__ import annotations

from collections.abc import Mapping

from backend.run.ids import short
from backend.run.state import Run, RunState, StageRecord, StageState
from backend.spec.graph import Plan
from backend.spec.model import Pipeline


def why(run: Run, plan: Plan, records: Mapping[str, StageRecord], name: str) -> str:
    """What the stage instance `name` waits for, or why it ended as it did; empty where nothing needs saying."""
    record = records.get(name) or StageRecord(name)
    if record.message:
        return record.message
    if record.state is StageState.WAITING:
        if run.state is RunState.QUEUED:
            return run.message or "waits for the run to begin"
        unmet = [need for need in plan.instances[name].needs if not _good(records, need)]
        shown = ", ".join(unmet[:3]) + (f" and {len(unmet) - 3} more" if len(unmet) > 3 else "")
        return f"waits for {shown}" if unmet else ""
    if record.state is StageState.QUEUED:
        return "waits for a free place"
    if record.state is StageState.REUSED:
        return f"{'reused' if record.reason else 'kept'} from run {record.reused_from}"
    return ""


def reason(run: Run, pipeline: Pipeline, plan: Plan, record: StageRecord) -> str:
    """Why it ran, or why an earlier result stands for it; empty while neither is decided."""
    if record.state is StageState.REUSED:
        said = record.reason or "this run takes that one up, and the stage has not changed"
        return f"reused from {short(record.reused_from)}: {said}"
    if not record.attempts:
        return ""
    if record.reason:
        return f"ran: {record.reason}"
    if record.budget:
        return "ran: it was retried by hand"
    if not pipeline.caches(plan.instances[record.name].stage):
        return 'ran: it is not cached ("cache": true in the document)'
    return "ran: the run was started without the cache" if run.fresh else "ran"


def _good(records: Mapping[str, StageRecord], name: str) -> bool:
    record = records.get(name)
    return record is not None and record.state.good
