"""What happened to an attempt or a stage, said to people."""

from __future__ import annotations

from datetime import timedelta

from backend.run.state import Reason, StageState


def became(state: StageState) -> str:
    """What became of a stage, as the end of a sentence: "needs clean, which failed"."""
    return {
        StageState.FAILED: "failed",
        StageState.CANCELLED: "was cancelled",
        StageState.SKIPPED: "was skipped",
    }.get(state, str(state))


def ended(reason: Reason, message: str, stage_limit: float | None, run_limit: float | None) -> str:
    """Why an attempt ended: what we did to it, or else `message`, what the executor saw. Limits in seconds."""
    if reason is Reason.TIMEOUT:
        return f"killed: took longer than {duration(stage_limit)}"
    if reason is Reason.RUN_TIMEOUT:
        return f"cancelled: the run took longer than {duration(run_limit)}"
    if reason is Reason.CANCELLED:
        return "cancelled"
    if reason is Reason.REPLACED:
        return "cancelled: a newer run took its place"
    return message


def duration(seconds: float | None) -> str:
    """A limit in words: "90 s", "0:20:00"."""
    if seconds is None:
        return "its limit"
    whole = timedelta(seconds=seconds)
    return f"{seconds:g} s" if seconds < 120 else str(whole)
