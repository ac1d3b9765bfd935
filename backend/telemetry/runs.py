"""What becomes of runs, counted and traced as it is committed. It only listens: nothing depends on it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from backend.run.machine import Changed
from backend.run.state import Attempt, AttemptState, Run, RunState, StageRecord
from backend.telemetry.metrics import Metrics
from backend.telemetry.spans import Span, Traces, attempt_spans, run_spans, stage_spans

log = logging.getLogger(__name__)

Named = tuple[str, str, int]  # an attempt: run, stage, number


class Timing(Struct):
    """When what happened to an attempt; what is not known (another daemon has seen it) stays None."""

    prepared: datetime | None = None  # its inputs are there
    running: datetime | None = None  # its command began
    exited: datetime | None = None  # its command ended
    published: datetime | None = None  # its outputs are where they belong


class RunTelemetry:
    """Listens to one controller."""

    def __init__(self, metrics: Metrics | None = None, traces: Traces | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._traces = traces
        self._timings: dict[Named, Timing] = {}

    # what is heard

    def lagged(self, seconds: float) -> None:
        """A run was seen to so many seconds after there was news of it."""
        self._metrics.lag.observe(seconds)

    def prepared(self, attempt: Named, at: datetime) -> None:
        """All that an attempt reads is there."""
        self._timing(attempt).prepared = at

    def running(self, attempt: Named, at: datetime) -> None:
        """Its command was seen to run since then."""
        self._timing(attempt).running = at

    def published(self, attempt: Named, exited: datetime, at: datetime) -> None:
        """Its command ended then, and what it wrote was published now."""
        timing = self._timing(attempt)
        timing.exited, timing.published = exited, at

    def committed(self, changed: Changed) -> None:
        """This was written down. Never raises."""
        try:
            self._committed(changed)
        except Exception:  # what is measured must not disturb what is done
            log.exception("what has happened to run %s is not measured", changed.run.id)

    # what comes of it

    def _committed(self, changed: Changed) -> None:
        before, run = changed.before, changed.run
        spans: list[Span] = []
        for record in changed.records:
            spans += self._record(run, record)
        if before.state is not run.state:
            spans += self._run(before, run)
        if run.late and not before.late:
            self._metrics.runs_late.inc()
        if self._traces is not None and spans:
            self._traces.add(spans)

    def _record(self, run: Run, record: StageRecord) -> Iterable[Span]:
        for attempt in record.attempts[-2:]:  # a retry may have begun in the same step
            named = (run.id, record.name, attempt.number)
            if attempt.state is AttemptState.STARTING:
                if attempt.number == 1 and record.ready and attempt.started and named not in self._timings:
                    self._metrics.stage_queue.observe(_between(record.ready, attempt.started))
                self._timing(named)
            elif attempt.state.ended and (timing := self._timings.pop(named, None)) is not None:
                self._attempt(attempt, timing)
                if self._traces is not None:
                    yield from attempt_spans(
                        run, record, attempt, timing.prepared, timing.running, timing.exited, timing.published
                    )
        if record.state.ended:
            self._metrics.stages_ended.labels(record.state).inc()
            if self._traces is not None:
                yield from stage_spans(run, record)

    def _attempt(self, attempt: Attempt, timing: Timing) -> None:
        metrics = self._metrics
        metrics.attempts_ended.labels(attempt.reason or "ok").inc()
        if attempt.started is None or timing.running is None or timing.exited is None:
            return
        start = _between(attempt.started, timing.running)
        metrics.stage_start.observe(start)
        metrics.stage_seconds.observe(_between(timing.running, timing.exited))
        if timing.published is not None:
            publish = _between(timing.exited, timing.published)
            metrics.stage_publish.observe(publish)
            metrics.overhead.observe(start + publish)

    def _run(self, before: Run, run: Run) -> Iterable[Span]:
        metrics = self._metrics
        if before.state is RunState.QUEUED and run.round == 1 and run.created is not None:
            if run.started is not None:
                metrics.run_queue.observe(_between(run.created, run.started))
            if run.trigger.kind == "schedule":
                metrics.tick_late.observe(_between(run.logical_time, run.created))
        if not run.state.ended or run.ended is None:
            return ()
        pipeline = metrics.pipeline(run.pipeline)
        metrics.runs_ended.labels(run.state, run.trigger.kind).inc()
        metrics.pipeline_runs.labels(pipeline, run.state).inc()
        if run.state is RunState.SUCCEEDED:
            metrics.pipeline_good.labels(pipeline).set(run.ended.timestamp())
        if run.started is not None:
            metrics.run_seconds.labels(run.state).observe(_between(run.ready_at or run.started, run.ended))
        for named in [n for n in self._timings if n[0] == run.id]:
            del self._timings[named]
        return run_spans(run) if self._traces is not None else ()

    def _timing(self, attempt: Named) -> Timing:
        return self._timings.setdefault(attempt, Timing())


def _between(start: datetime, end: datetime) -> float:
    """Seconds; clocks of several machines may disagree, and time does not run backwards."""
    return max((end - start).total_seconds(), 0.0)
