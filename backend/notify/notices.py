"""What has happened that somebody may want to hear of, as it follows from a run's change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from backend.notify.model import Failing, Notice
from backend.run.state import Run, RunState

_ENDS = (RunState.SUCCEEDED, RunState.FAILED)


def notices(notify: Mapping[str, tuple[str, ...]], before: Run, run: Run, now: datetime) -> dict[str, Notice]:
    """By a key that is the same whoever finds it out: `notify` says whom a pipeline tells of what."""
    found: dict[str, Notice] = {}
    if run.late and not before.late and (channels := notify.get("late", ())):
        found[f"{run.id}.late"] = Notice("late", now, run.pipeline, channels, run=run.id)
    if run.state == before.state or run.state not in _ENDS:
        return found
    if not any(notify.get(event) for event in ("failed", "recovered", "succeeded")):
        return found
    event = "failed" if run.state is RunState.FAILED else "succeeded"
    found[f"{run.id}.{run.round}.{event}"] = Notice(
        event,  # type: ignore[arg-type]  # one of the two
        run.ended or now,
        run.pipeline,
        notify.get(event, ()),
        notify.get("recovered", ()) if event == "succeeded" else (),
        run=run.id,
    )
    return found


def judge(notice: Notice, run: Run, failing: Failing | None) -> tuple[Failing | None, bool]:
    """How the pipeline stands after a run's end, and whether this end is its recovery.

    A run of an earlier logical time, as a backfill makes, says nothing about what fails now.
    """
    if notice.event == "failed":
        if failing is None:
            return Failing(notice.at, 1, run.logical_time), False
        return Failing(failing.since, failing.failures + 1, max(failing.logical_time, run.logical_time)), False
    if notice.event == "succeeded" and failing is not None and run.logical_time >= failing.logical_time:
        return None, True
    return failing, False
