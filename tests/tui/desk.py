"""A daemon's API over a store in memory, in a thread of its own, with runs that are the same in every test."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import threading
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from backend.artifacts import FolderStore
from backend.clock import SystemClock
from backend.logs import LogStore
from backend.logs.index import Mark, micros, pack
from backend.run.ids import new_id
from backend.run.state import (
    ArtifactRecord,
    Attempt,
    AttemptState,
    Reason,
    Run,
    RunState,
    StageRecord,
    StageState,
    Trigger,
)
from backend.store import keys
from backend.store.base import Put
from backend.store.codec import encode
from backend.store.memory import MemoryStore
from backend.store.records import change_run, create_run
from khantui.api.address import of_socket
from khantui.app import KhantuiApp
from tests.contract.service import Service

T = TypeVar("T")
NOW = datetime(2026, 11, 23, 6, 12, 30, tzinfo=UTC)
LEARNERS = {
    "description": "Learners per region, from raw events to a report",
    "owner": "analytics@example.org",
    "labels": {"team": "analytics"},
    "parameters": {"region": {"default": "all", "choices": ["all", "eu", "us"]}},
    "environment": {"DAY": "${date}", "REGION": "${parameters.region}"},
    "intermediates": {"clean": {}, "by_region": {}, "totals": {}},
    "outputs": {"report": {}},
    "stages": {
        "clean": {"script": "true", "outputs": ["clean"]},
        "by_region": {"script": "true", "inputs": ["clean"], "outputs": ["by_region"], "retries": {"limit": 1}},
        "totals": {"script": "true", "inputs": ["clean"], "outputs": ["totals"]},
        "plot": {"script": "true", "inputs": ["by_region", "totals"], "outputs": ["report"]},
    },
}
SIMPLE = {"outputs": {"table": {}}, "stages": {"load": {"script": "true", "outputs": ["table"]}}}
LOG = [
    "reading clean.csv: 1,048,576 rows",
    "\x1b[32mcolumns\x1b[0m: day, region, learners",
    "google.api_core.exceptions.BadRequest: 400 Unrecognized name: regoin at [7:14]",
    "exit 1",
]


class FixedApp(KhantuiApp):
    """The interface at a moment that stands still."""

    @property
    def moment(self) -> datetime:
        return NOW


class StandingClock(SystemClock):
    """It is always the same moment."""

    def now(self) -> datetime:
        return NOW


class Desk(Service):
    """The API, to be used from other threads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, MemoryStore(SystemClock()))
        self.clock = StandingClock()
        self._sockets = tempfile.TemporaryDirectory(prefix="kh")
        self._loop = asyncio.new_event_loop()
        self._ready, self._gone = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def socket(self) -> Path:
        return Path(self._sockets.name) / "api.sock"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())

    async def _main(self) -> None:
        self._over, self._paused, self._again = asyncio.Event(), asyncio.Event(), asyncio.Event()
        while not self._over.is_set():
            async with self.serving(Path(self._sockets.name)):
                self._ready.set()
                await self._paused.wait()
            self._gone.set()
            if not self._over.is_set():
                await self._again.wait()
                self._paused.clear()
                self._again.clear()

    def pause(self) -> None:
        """Be away until `go_on`."""
        self._ready.clear()
        self._loop.call_soon_threadsafe(self._paused.set)
        assert self._gone.wait(30)
        self._gone.clear()

    def go_on(self) -> None:
        """Be there again, with what was there."""
        self._loop.call_soon_threadsafe(self._again.set)
        assert self._ready.wait(30)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._loop.call_soon_threadsafe(self._paused.set)
        self._thread.join(30)
        self._loop.close()
        self._sockets.cleanup()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Done on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def app(self, start: str = "runs", **options: Any) -> FixedApp:
        return FixedApp(of_socket(self.socket), start=start, **options)

    # what there is

    async def run_of(
        self,
        pipeline: str,
        state: RunState,
        minutes: float,
        took: float,
        stages: list[StageRecord],
        *,
        total: int = 0,
        message: str = "",
        trigger: Trigger | None = None,
    ) -> str:
        """A run that began so many minutes ago: its id."""
        began = NOW - timedelta(minutes=minutes)
        ended = began + timedelta(seconds=took) if state.ended else None
        counts: dict[str, int] = {}
        for record in stages:
            counts[record.state] = counts.get(record.state, 0) + 1
        queued = Run(new_id(began, pipeline), pipeline, 1, began.replace(second=0), created=began)
        queued = Run(
            queued.id, pipeline, 1, began.replace(second=0, microsecond=0), created=began,
            trigger=trigger or Trigger("manual", by="alice"), stages=total or len(stages),
        )  # fmt: skip
        conditions, changes = create_run(queued)
        await self.store.commit(conditions, changes)
        run = replace(queued, state=state, started=began, ended=ended, counts=counts, message=message)
        records: list[Any] = [Put(keys.stage(run.id, r.name), encode(r)) for r in stages]
        await self.store.commit([], [*records, *change_run(queued, run)])
        return run.id

    async def write_log(
        self, run: str, stage: str, number: int, lines: list[str], minutes: Sequence[float] = ()
    ) -> None:
        """The log of an attempt that has ended; each line was written so many minutes ago, or all now."""
        path = self.layout.live_log(run, stage, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
        ends = itertools.accumulate(len(line.encode()) + 1 for line in lines)
        marks = [
            Mark(end, n, micros(NOW - timedelta(minutes=ago)))
            for n, (end, ago) in enumerate(zip(ends, minutes, strict=False), 1)
        ]
        path.with_name("log.idx").write_bytes(b"".join(map(pack, marks)))
        await LogStore(self.layout, self.clock).finish(run, stage, number)

    async def write_artifacts(self, run: str, stage: str, contents: dict[str, bytes]) -> dict[str, ArtifactRecord]:
        """What a stage's first attempt wrote, published as the executor does it."""
        for name, content in contents.items():
            path = self.layout.output(run, stage, 1, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        records = await FolderStore(self.layout).publish(run, stage, 1, contents)
        record = replace(_done(stage, "succeeded", 70, 58.0), outputs=records)
        await self.store.commit([], [Put(keys.stage(run, stage), encode(record))])
        return records

    async def furnish(self) -> None:
        """Three pipelines, six runs, a schedule."""
        await self.put("weekly-learners", **_copy(LEARNERS))
        await self.put("regions", **_copy(SIMPLE))
        await self.put("etl-daily", **_copy(SIMPLE))
        for days in (21, 14, 7):
            good = [stage(n, "succeeded", days * 1440, 40.0) for n in LEARNERS["stages"]]  # type: ignore[attr-defined]
            await self.run_of("weekly-learners", RunState.SUCCEEDED, days * 1440, 165.0 + days, good)
        regions = await self.run_of("regions", RunState.SUCCEEDED, 70, 58.0, [stage("load", "succeeded", 70, 58.0)])
        rows = "".join(f"{name},{people}\n" for name, people in (("eu", 448), ("us", 331), ("africa", 1216)))
        await self.write_artifacts(regions, "load", {"table": f"region,people\n{rows}".encode()})
        records = [
            stage("clean", "succeeded", 12, 41.0),
            failed("by_region", 11.2),
            stage("totals", "succeeded", 11.2, 30.0),
            StageRecord("plot", StageState.SKIPPED, message="needs by_region, which failed"),
        ]
        self.failed = await self.run_of(
            "weekly-learners", RunState.FAILED, 12, 190.0, records, message="by_region: exit 1",
            trigger=Trigger("schedule", schedule="monday-6"),
        )  # fmt: skip
        await self.write_log(self.failed, "by_region", 1, ["the first try", *LOG], [11, 11, 11, 10.5, 10.4])
        await self.write_log(self.failed, "by_region", 2, LOG, [9.8, 9.8, 9, 9])
        lines = [f"line {n}" for n in range(1, 2001)]
        await self.write_log(self.failed, "clean", 1, lines, [12 - n / 3000 for n in range(2000)])
        running = [StageRecord("load", StageState.RUNNING, ready=NOW, started=NOW - timedelta(seconds=40),
                               attempts=(Attempt(1, AttemptState.RUNNING, NOW - timedelta(seconds=40)),))]  # fmt: skip
        self.running = await self.run_of("etl-daily", RunState.RUNNING, 40 / 60, 0.0, running)
        await self.ask("PUT", "/schedules/monday-6", {"pipeline": "weekly-learners", "kind": "cron",
                       "cron": ["0 6 * * MON"], "zone": "America/Los_Angeles"})  # fmt: skip


def stage(name: str, state: str, minutes: float, took: float) -> StageRecord:
    """A stage that went through at once."""
    began = NOW - timedelta(minutes=minutes)
    ended = began + timedelta(seconds=took)
    attempt = Attempt(1, AttemptState.SUCCEEDED, began, ended, 0)
    output = {f"{name}": ArtifactRecord("file", 1234, 1, "ab" * 32)}
    return StageRecord(name, StageState(state), began, began, ended, (attempt,), outputs=output)


_done = stage


def failed(name: str, minutes: float) -> StageRecord:
    """A stage that was tried twice."""
    began = NOW - timedelta(minutes=minutes)
    second = began + timedelta(seconds=80)
    ended = second + timedelta(seconds=60)
    attempts = (
        Attempt(1, AttemptState.FAILED, began, began + timedelta(seconds=50), 1, Reason.EXIT, "exit 1"),
        Attempt(2, AttemptState.FAILED, second, ended, 1, Reason.EXIT, "exit 1"),
    )
    return StageRecord(name, StageState.FAILED, began, began, ended, attempts)


def _copy(document: Any) -> Any:
    import copy

    return copy.deepcopy(document)
