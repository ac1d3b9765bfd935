"""What is measured of runs as they are committed, and that it is explained."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from backend.run.machine import Changed
from backend.run.state import Attempt, AttemptState, Reason, Run, RunState, StageRecord, StageState, Trigger
from backend.telemetry import Metrics, RunTelemetry
from backend.telemetry.metrics import MOST_PIPELINES, OTHERS

ROOT = Path(__file__).parents[3]
START = datetime(2026, 3, 1, 6, tzinfo=UTC)
ELSEWHERE = {
    "clock_jumps",
    "slots",
    "slots_used",
    "runs_waiting_for_slot",
    "watch_resumes",
    "watch_restarts",
    "log_archived_bytes",
}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def run_of(state: RunState, name: str = "p", **more: object) -> Run:
    run = Run("0000000000-000000", name, 1, START, state=state, created=at(2), trigger=Trigger("schedule"))
    return Run(**{f: getattr(run, f) for f in run.__struct_fields__} | more)


def test_a_run_is_measured_from_its_schedule_to_its_outputs() -> None:
    metrics = Metrics()
    seen = RunTelemetry(metrics)
    queued, running = run_of(RunState.QUEUED), run_of(RunState.RUNNING, started=at(5))
    starting = StageRecord("a", StageState.RUNNING, ready=at(5), attempts=(Attempt(1, started=at(9)),))
    attempt = ("0000000000-000000", "a", 1)
    seen.committed(Changed(queued, running, (starting,), ()))
    seen.prepared(attempt, at(10))
    seen.running(attempt, at(11))
    seen.published(attempt, at(31), at(34))
    good = Attempt(1, AttemptState.SUCCEEDED, at(9), at(31), 0)
    ended = StageRecord("a", StageState.SUCCEEDED, ready=at(5), started=at(9), ended=at(31), attempts=(good,))
    seen.committed(Changed(running, run_of(RunState.SUCCEEDED, started=at(5), ended=at(34), late=True), (ended,), ()))

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"khantui_{name}", labels)

    assert value("schedule_lateness_seconds_sum") == 2
    assert value("run_queue_seconds_sum") == 3
    assert value("stage_queue_seconds_sum") == 4
    assert value("stage_start_seconds_sum") == 2
    assert value("stage_seconds_sum") == 20
    assert value("stage_publish_seconds_sum") == 3
    assert value("stage_overhead_seconds_sum") == 5
    assert value("run_seconds_sum", state="succeeded") == 29
    assert value("runs_ended_total", state="succeeded", trigger="schedule") == 1
    assert value("stages_ended_total", state="succeeded") == 1
    assert value("attempts_ended_total", reason="ok") == 1
    assert value("runs_late_total") == 1
    assert value("pipeline_last_success_timestamp_seconds", pipeline="p") == at(34).timestamp()


def test_what_another_daemon_has_seen_begin_is_counted_once_and_not_guessed_at() -> None:
    metrics = Metrics()
    seen = RunTelemetry(metrics)
    seen.published(("0000000000-000000", "a", 1), at(31), at(34))
    bad = Attempt(1, AttemptState.FAILED, at(9), at(31), 1, Reason.EXIT, "exit 1")
    failed = StageRecord("a", StageState.FAILED, ready=at(5), started=at(9), ended=at(31), attempts=(bad,))
    running = run_of(RunState.RUNNING, started=at(5))
    seen.committed(Changed(running, running, (failed,), ()))
    seen.committed(Changed(running, running, (failed,), ()))
    assert metrics.registry.get_sample_value("khantui_attempts_ended_total", {"reason": "exit"}) == 1
    assert metrics.registry.get_sample_value("khantui_stage_overhead_seconds_count") == 0


def test_however_many_pipelines_there_are_their_series_are_not() -> None:
    metrics = Metrics()
    names = [metrics.pipeline(f"p{n}") for n in range(MOST_PIPELINES + 50)]
    assert (len(set(names)), names[-1], metrics.pipeline("p7")) == (MOST_PIPELINES + 1, OTHERS, "p7")


def known() -> set[str]:
    """The names of all metrics, as they are queried but for the endings of histograms."""
    names = {f"khantui_{name}" for name in ELSEWHERE}
    names |= {f"{m.name}" for m in Metrics().registry.collect() if m.name.startswith("khantui_")}
    return names


def test_every_metric_is_explained_and_no_other() -> None:
    rows = re.findall(r"^\| `(khantui_\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    assert {row.removesuffix("_total") for row in rows} == known()


def test_alerts_and_examples_ask_for_what_there_is() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "components" / "alerts" / "rules.yaml").read_text())
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"]]
    texts = [rule["expr"] for rule in alerts] + [(ROOT / "docs" / "metrics.md").read_text()]
    asked = {name for text in texts for name in re.findall(r"khantui_\w+", text)}
    endings = ("_bucket", "_total")
    assert {re.sub(f"({'|'.join(endings)})$", "", name) for name in asked} <= known()
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in alerts)
    reasons = re.search(r'reason=~"([^"]+)"', str([rule["expr"] for rule in alerts]))
    assert reasons is not None
    assert set(reasons[1].split("|")) <= {str(reason) for reason in Reason}
