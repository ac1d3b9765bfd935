"""A run as a trace. All ids follow from the run's, so that any daemon adds to the trace that another has begun. Pure.

run
├── stage NAME                from when it had all that it needs
│   ├── queue                 until there was a place for it
│   ├── attempt 1
│   │   ├── fetch             its inputs are brought
│   │   ├── start             the executor's part: a sandbox, a pod
│   │   ├── command
│   │   └── publish
│   └── attempt 2 …
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from backend.run.state import Attempt, AttemptState, Run, RunState, StageRecord, StageState


class Span(Struct, frozen=True):
    """Something that took time. `parent` is 0 for the whole run; `error` is empty where it went well."""

    trace: int  # 128 bits
    id: int  # 64 bits
    parent: int
    name: str
    start: datetime
    end: datetime
    attributes: Mapping[str, str | int]
    error: str = ""


class Traces(Protocol):
    """Where spans go."""

    def add(self, spans: Iterable[Span]) -> None:
        """Send them, some time. Never raises, and never waits."""
        ...


def trace_id(run: str) -> int:
    """The id of a run's trace."""
    return _number(run, 16)


def span_id(run: str, *path: str | int) -> int:
    """The id of a part of a run."""
    return _number("/".join(map(str, (run, *path))), 8)


def run_spans(run: Run) -> Iterator[Span]:
    """The run as a whole, which has ended; of one that was retried by hand, this round."""
    start = run.ready_at if run.round > 1 else run.created
    if start is None or run.ended is None:
        return
    attributes: dict[str, str | int] = {
        "khantui.pipeline": run.pipeline,
        "khantui.version": run.version,
        "khantui.logical_time": run.logical_time.isoformat(),
        "khantui.trigger": run.trigger.kind,
        "khantui.schedule": run.trigger.schedule,
        "khantui.state": run.state,
    }
    bad = run.state is not RunState.SUCCEEDED
    error = (run.message or str(run.state)) if bad else ""
    yield _span(run, _root(run), 0, f"run {run.pipeline}", start, run.ended, attributes, error)


def stage_spans(run: Run, record: StageRecord) -> Iterator[Span]:
    """A stage that has ended, and how long it waited for a place."""
    start = record.ready or record.started or record.ended
    if start is None or record.ended is None or record.state is StageState.SKIPPED:
        return
    here = _stage(run, record)
    attributes: dict[str, str | int] = {
        "khantui.stage": record.name,
        "khantui.state": record.state,
        "khantui.attempts": len(record.attempts),
        "khantui.reason": record.reason,
        "khantui.reused_from": record.reused_from,
    }
    error = "" if record.state.good else record.message or str(record.state)
    yield _span(run, here, _root(run), f"stage {record.name}", start, record.ended, attributes, error)
    if record.ready and record.started and record.attempts:
        queue = span_id(run.id, "queue", record.name, run.round)
        yield _span(run, queue, here, "queue", record.ready, record.started, {})


def attempt_spans(
    run: Run,
    record: StageRecord,
    attempt: Attempt,
    prepared: datetime | None,
    running: datetime | None,
    exited: datetime | None,
    published: datetime | None,
) -> Iterator[Span]:
    """An attempt that has ended, and its parts, as far as their times are known."""
    if attempt.started is None or attempt.ended is None:
        return
    here = span_id(run.id, "attempt", record.name, attempt.number)
    attributes: dict[str, str | int] = {"khantui.reason": attempt.reason}
    if attempt.exit_code is not None:
        attributes["khantui.exit_code"] = attempt.exit_code
    error = "" if attempt.state is AttemptState.SUCCEEDED else attempt.message or str(attempt.state)
    end = max(attempt.ended, published or attempt.ended)
    yield _span(run, here, _stage(run, record), f"attempt {attempt.number}", attempt.started, end, attributes, error)
    times = (
        ("fetch", attempt.started, prepared),
        ("start", prepared or attempt.started, running),
        ("command", running, exited),
        ("publish", exited, published),
    )
    for name, start, until in times:
        if start is not None and until is not None:
            inner = span_id(run.id, name, record.name, attempt.number)
            yield _span(run, inner, here, name, start, until, {})


def _span(
    run: Run,
    identifier: int,
    parent: int,
    name: str,
    start: datetime,
    end: datetime,
    attributes: Mapping[str, str | int],
    error: str = "",
) -> Span:
    said = {"khantui.run": run.id, **{k: v for k, v in attributes.items() if v != ""}}
    return Span(trace_id(run.id), identifier, parent, name, start, max(start, end), said, error)


def _root(run: Run) -> int:
    return span_id(run.id, "round", run.round)


def _stage(run: Run, record: StageRecord) -> int:
    return span_id(run.id, "stage", record.name, run.round)


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size]) or 1
