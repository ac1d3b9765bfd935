"""The machine's decisions, as traces: what happens to it (lines with >), and what it then decides."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.errors import KhanError
from backend.run.create import new_run
from backend.run.machine import Changed, Ending, Machine, StartAttempt
from backend.run.state import Reason, StageRecord, Trigger
from backend.spec.graph import plan
from backend.spec.model import Intermediate, Pipeline, Retries, Stage

START = datetime(2026, 3, 1, 6, tzinfo=UTC)
TRACES = Path(__file__).parent / "traces"


def pipeline_of(lines: list[str]) -> Pipeline:
    """`stage NAME [< NEED…] [retries=N] [delay=S] [backoff=X] [timeout=S] [cache=1]` and `timeout S`, a line each."""
    stages: dict[str, Stage] = {}
    timeout = None
    for line in lines:
        kind, *words = line.split()
        if kind == "timeout":
            timeout = float(words[0])
            continue
        options = dict(w.split("=") for w in words if "=" in w)
        name, *rest = (w for w in words if "=" not in w)
        stages[name] = Stage(
            image="shell",
            script="true",
            inputs={need: need for need in rest[1:]},
            outputs={name: name},
            retries=Retries(
                int(options.get("retries", 0)), float(options.get("delay", 0)), float(options.get("backoff", 1))
            ),
            timeout=float(options["timeout"]) if "timeout" in options else None,
            cache="cache" in options,
        )
    return Pipeline("p", stages, intermediates={n: Intermediate() for n in stages}, timeout=timeout)


class Driver:
    """Carries out a trace's commands and prints what came of each."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.plan = plan(pipeline)
        self.pipeline = pipeline
        run = new_run(
            pipeline,
            self.plan,
            identifier="0000000000-000000",
            version=1,
            moment=START,
            now=START,
            parameters={},
            trigger=Trigger(),
        )
        self.machine = Machine(run, [], pipeline, self.plan)
        self.stored = run
        self.records: dict[str, StageRecord] = {}

    def do(self, line: str) -> list[str]:
        at, command, *words = line.split()
        now = START + timedelta(seconds=float(at))
        try:
            getattr(self, command)(now, *words)
        except KhanError as error:
            return [f"refused: {error.message}"]
        changed = self.machine.take()
        if changed is None:
            return ["nothing"]
        lines = self.told(changed)
        self.stored = changed.run
        self.records |= {r.name: r for r in changed.records}
        return lines

    def admit(self, now: datetime) -> None:
        self.machine.admit(now)

    def start(self, now: datetime, count: str = "1000") -> None:
        for _ in range(int(count)):
            if not self.machine.start(now):
                break

    def ok(self, now: datetime, stage: str, number: str = "1") -> None:
        self.machine.attempt_ended(stage, int(number), Ending(now, Reason.OK, exit_code=0))

    def exit(self, now: datetime, stage: str, number: str = "1", code: str = "1") -> None:
        self.machine.attempt_ended(stage, int(number), Ending(now, Reason.EXIT, f"exit {code}", int(code)))

    def running(self, now: datetime, stage: str, number: str = "1") -> None:
        self.machine.attempt_started(stage, int(number), now)

    def waits(self, now: datetime, stage: str, number: str, *message: str) -> None:
        self.machine.attempt_waits(stage, int(number), " ".join(message))

    def found(self, now: datetime, stage: str, run: str) -> None:
        self.machine.found(stage, StageRecord(stage, reason="nothing has changed"), run, now)

    def missed(self, now: datetime, stage: str, *reason: str) -> None:
        self.machine.missed(stage, " ".join(reason))

    def tick(self, now: datetime) -> None:
        self.machine.tick(now)

    def clock_set(self, now: datetime, by: str) -> None:
        self.machine.clock_set(timedelta(seconds=float(by)))

    def cancel(self, now: datetime) -> None:
        self.machine.end("cancelled", now, by="alice", message="cancelled by alice")

    def replaced(self, now: datetime) -> None:
        self.machine.end("replaced", now)

    def hold(self, now: datetime, *message: str) -> None:
        self.machine.hold(" ".join(message))

    def retry(self, now: datetime, stage: str = "", only: str = "") -> None:
        self.machine.retry(now, from_stage=stage, only=bool(only))

    def restart(self, now: datetime) -> None:
        """Another daemon makes the machine anew from what was committed."""
        self.machine = Machine(self.stored, self.records.values(), self.pipeline, self.plan)
        self.machine.settle(now)

    def told(self, changed: Changed) -> list[str]:
        lines = []
        for record in changed.records:
            message = f": {record.message}" if record.message else ""
            reused = f" from {record.reused_from}" if record.reused_from else ""
            lines.append(f"{record.name} {record.state}{reused}{message}")
        for action in changed.actions:
            verb = "start" if isinstance(action, StartAttempt) else "cancel"
            lines.append(f"{verb} {action.stage}/{action.number}")
        if (changed.run.state, changed.run.message) != (changed.before.state, changed.before.message):
            message = f": {changed.run.message}" if changed.run.message else ""
            lines.append(f"run {changed.run.state}{message}")
        wake = self.machine.next_wake()
        if wake:
            lines.append(f"wake at {(wake - START).total_seconds():g}")
        return lines or ["written"]


def play(text: str) -> str:
    """The trace with what the machine decides below each command."""
    head, _, body = text.partition("\n\n")
    driver = Driver(pipeline_of([li for li in head.splitlines() if li and not li.startswith("#")]))
    out = [head]
    for line in body.splitlines():
        if line.startswith("#"):
            out.append(f"\n{line}")
        elif line.startswith("> "):
            before = "" if out[-1].startswith("\n#") else "\n"
            out += [f"{before}{line}", *driver.do(line[2:])]
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("trace", sorted(TRACES.glob("*.txt")), ids=lambda p: p.stem)
def test_decisions_are_as_the_trace_says(trace: Path) -> None:
    """With KHANTUI_REWRITE set the traces are written anew, to be read and committed."""
    text = trace.read_text()
    played = play(text)
    if os.environ.get("KHANTUI_REWRITE"):
        trace.write_text(played)
    assert played == text


@pytest.mark.parametrize("trace", sorted(TRACES.glob("*.txt")), ids=lambda p: p.stem)
def test_a_daemon_that_is_replaced_at_any_moment_changes_no_decision(trace: Path) -> None:
    """After every command the machine is thrown away and made anew from what was committed."""
    head, _, body = trace.read_text().partition("\n\n")
    lines = [li for li in head.splitlines() if li and not li.startswith("#")]
    steady, shaken = Driver(pipeline_of(lines)), Driver(pipeline_of(lines))
    for line in (li[2:] for li in body.splitlines() if li.startswith("> ")):
        assert sorted(shaken.do(line)) == sorted(steady.do(line)), line
        shaken.do(f"{line.split()[0]} restart")
    assert {k: replace(v, budget=0) for k, v in shaken.records.items()} == {
        k: replace(v, budget=0) for k, v in steady.records.items()
    }


def test_a_run_never_loses_count_of_its_stages() -> None:
    lines = ["stage a", "stage b < a", "stage c < a", "stage d < b c"]
    driver = Driver(pipeline_of(lines))
    for line in ("0 admit", "0 start", "1 ok a", "1 start", "2 exit b", "3 ok c"):
        driver.do(line)
    assert driver.stored.counts == {"failed": 1, "skipped": 1, "succeeded": 2}
    assert driver.stored.stages == 4


def test_each_stage_that_may_be_reused_is_looked_for_once() -> None:
    driver = Driver(pipeline_of(["stage a cache=1", "stage b", "stage c cache=1"]))
    driver.do("0 admit")
    assert (driver.machine.seek(), driver.machine.seek(), driver.machine.wants) == (["a", "c"], [], 1)
    driver.machine.settle(START)  # looks at everything anew
    assert driver.machine.seek() == []
    driver.do("0 restart")
    assert driver.machine.seek() == ["a", "c"]
    driver.do("1 missed a events changed")
    assert (driver.machine.record("a").reason, driver.machine.wants) == ("events changed", 2)
    driver.do("1 restart")
    assert driver.machine.seek() == ["c"]


def test_a_run_that_is_to_be_fresh_looks_for_nothing() -> None:
    driver = Driver(pipeline_of(["stage a cache=1"]))
    driver.stored = replace(driver.stored, fresh=True)
    driver.do("0 restart")
    driver.do("0 admit")
    assert (driver.machine.seek(), driver.machine.wants) == ([], 1)


def test_a_finished_stage_waits_for_nobody() -> None:
    driver = Driver(pipeline_of(["stage a"]))
    for line in ("0 admit", "0 start", "1 ok a"):
        driver.do(line)
    assert driver.machine.next_wake() is None
    assert driver.do("2 ok a") == ["nothing"]
    assert driver.do("2 tick") == ["nothing"]
