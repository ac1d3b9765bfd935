"""Why a stage is where it is, in a sentence: anything that waits says what it waits for."""

from __future__ import annotations

from collections.abc import Mapping

from backend.run.state import Run, RunState, StageRecord, StageState
from backend.spec.graph import Plan


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
        return f"kept from run {record.reused_from}"
    return ""


def _good(records: Mapping[str, StageRecord], name: str) -> bool:
    record = records.get(name)
    return record is not None and record.state.good
