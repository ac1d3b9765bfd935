"""What somebody on call wants to know: what fails, runs, is late and comes next, and how the last week went. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Literal, NamedTuple

import msgspec

from backend.api.wire import EventView, Page, RunView, ScheduleView
from khantui.state.overview import LAST, Overview

MOST_RUNS = 2_000  # that the charts are made of
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
GRACE = timedelta(seconds=10)  # a firing that is not older is not late: the daemon is on it
SLOW = 2.0  # times the median

Kind = Literal["failed", "running", "queued", "schedule", "firing"]
Place = Callable[[datetime], int]  # which bucket a moment belongs to


class Item(NamedTuple):
    """A row: a run, or a schedule. `why` was written by somebody else."""

    kind: Kind
    pipeline: str
    run: RunView | None = None
    schedule: ScheduleView | None = None
    when: datetime | None = None
    why: str = ""
    streak: Streak | None = None
    usual: float | None = None  # seconds
    slow: bool = False
    then: tuple[datetime, ...] = ()  # further firings within the hour

    @property
    def key(self) -> str:
        """What the cursor keeps to."""
        return f"{self.kind}/{self.run.id if self.run else self.schedule.name if self.schedule else self.pipeline}"

    @property
    def run_id(self) -> str:
        """The run that it is, or that the schedule started last; empty if there is none."""
        return self.run.id if self.run else self.schedule.last_run if self.schedule else ""


class Streak(NamedTuple):
    """How many runs have failed one after another; `open` if there may be more than those that are known."""

    times: int
    open: bool


class Bucket(NamedTuple):
    """What was started within an hour or a day. `known` is false where not all of it was asked for.

    `took` is how long what has succeeded or failed took, in the middle, in seconds.
    """

    start: datetime
    total: int = 0
    good: int = 0
    bad: int = 0
    known: bool = True
    took: float | None = None

    @property
    def rate(self) -> float | None:
        """How many of those that succeeded or failed have succeeded: 0 to 1; None if there are none."""
        ended = self.good + self.bad
        return self.good / ended if ended and self.known else None


class History:
    """The runs of the last seven days, newest first, page by page, and from then on kept by events."""

    def __init__(self) -> None:
        self.runs: dict[str, RunView] = {}
        self.loaded = False  # there is nothing more to ask for
        self.since: datetime | None = None  # the oldest run, where there were too many to know them all

    def take(self, page: Page) -> str | None:
        """Take in a page; returns the cursor of what is to be asked for next, None if that was all."""
        for item in page.items:
            self._put(msgspec.convert(item, RunView))
        if page.cursor is not None and len(self.runs) < MOST_RUNS:
            return page.cursor
        self.loaded = True
        if page.cursor is not None:
            self.since = min((r.created for r in self.runs.values() if r.created), default=None)
        return None

    def hear(self, events: Iterable[EventView]) -> bool:
        """Take in what happened; False if everything must be asked for anew."""
        for event in events:
            if event.kind == "relist":
                return False
            if event.kind == "run" and event.object is None:
                self.runs.pop(event.id, None)
            elif event.kind == "run":
                self._put(msgspec.convert(event.object, RunView))
        return True

    def _put(self, run: RunView) -> None:
        before = self.runs.get(run.id)
        if before is None or before.revision < run.revision:
            self.runs[run.id] = run

    def forget(self, now: datetime) -> None:
        """Let go of what is older than a week."""
        old = [r.id for r in self.runs.values() if r.created is not None and now - r.created > WEEK + HOUR * 24]
        for identifier in old:
            del self.runs[identifier]


def hours(history: History, now: datetime, count: int = 24) -> list[Bucket]:
    """The last hours as the clock counts them, oldest first; the last one is not over yet."""
    this = now.replace(minute=0, second=0, microsecond=0)
    starts = [this - HOUR * back for back in range(count - 1, -1, -1)]
    return _filled(history, starts, lambda moment: int((moment - starts[0]) // HOUR))


def days(history: History, now: datetime, zone: tzinfo | None = None, count: int = 7) -> list[Bucket]:
    """The last days of the zone (None: this machine's), oldest first; the last one is today."""
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [midnight - timedelta(days=back) for back in range(count - 1, -1, -1)]
    first = starts[0].date()
    return _filled(history, starts, lambda moment: (moment.astimezone(zone).date() - first).days)


def _filled(history: History, starts: Sequence[datetime], place: Place) -> list[Bucket]:
    counts = [[0, 0, 0] for _ in starts]
    took: list[list[float]] = [[] for _ in starts]
    for run in history.runs.values():
        if run.created is None:
            continue
        index = place(run.created)
        if 0 <= index < len(starts):
            counts[index][0] += 1
            counts[index][1] += run.state == "succeeded"
            counts[index][2] += run.state == "failed"
            if run.started and run.ended and run.state in ("succeeded", "failed"):
                took[index].append((run.ended - run.started).total_seconds())
    since = history.since
    return [
        Bucket(start, total, good, bad, known := since is None or start >= since, median(seconds) if known else None)
        for start, (total, good, bad), seconds in zip(starts, counts, took, strict=True)
    ]


def median(values: Sequence[float]) -> float | None:
    """The one in the middle; None if there are none."""
    return sorted(values)[len(values) // 2] if values else None


# the lists


def failing(overview: Overview, history: History) -> list[Item]:
    """The newest ended run of each pipeline that failed, the newest failure first."""
    failed = {r.pipeline: r for r in overview.failing()}
    known: dict[str, dict[str, RunView]] = {name: {} for name in failed}
    for run in history.runs.values():
        if run.pipeline in known:
            known[run.pipeline][run.id] = run
    for name, runs in known.items():
        runs |= {r.id: r for r in overview.pipelines[name].last}
    return [
        Item("failed", r.pipeline, r, when=r.ended, why=r.message, streak=streak(known[r.pipeline].values()))
        for r in sorted(failed.values(), key=lambda r: (r.ended is not None, r.ended, r.id), reverse=True)
    ]


def streak(runs: Iterable[RunView]) -> Streak:
    """How often in a row the last of these runs failed. What was cancelled or has not ended says nothing."""
    newest_first = sorted(runs, key=lambda r: r.id, reverse=True)
    times = 0
    for run in newest_first:
        if run.state == "succeeded":
            return Streak(times, False)
        times += run.state == "failed"
    return Streak(times, len(newest_first) >= LAST)


def running(overview: Overview, now: datetime) -> list[Item]:
    """What runs, the longest first."""
    found = []
    for run in overview.under_way.values():
        if run.state != "running":
            continue
        usual = overview.usual(run)[1]
        took = (now - run.started).total_seconds() if run.started else 0.0
        slow = usual is not None and took > SLOW * usual and took - usual > 1
        found.append(Item("running", run.pipeline, run, when=run.started, usual=usual, slow=slow))
    return sorted(found, key=lambda i: (i.when or now, i.key))


def late(overview: Overview, now: datetime) -> list[Item]:
    """Queued runs, the longest waiting first; then schedules that missed a firing, or whose last run failed."""
    queued = [
        Item("queued", r.pipeline, r, when=r.created, why=r.message or "starts in a moment")
        for r in overview.under_way.values()
        if r.state == "queued"
    ]
    queued.sort(key=lambda i: (i.when or now, i.key))
    schedules = [item for s in overview.schedules.values() if (item := late_schedule(s, overview, now)) is not None]
    return [*queued, *sorted(schedules, key=lambda i: (i.when or now, i.key))]


def late_schedule(schedule: ScheduleView, overview: Overview, now: datetime) -> Item | None:
    """What is wrong with a schedule that should start runs; None if nothing is."""
    if schedule.paused or schedule.done:
        return None
    if schedule.next and now - schedule.next[0] > GRACE:
        return Item("schedule", schedule.pipeline, schedule=schedule, when=schedule.next[0], why="did not fire")
    if last_state(schedule, overview) == "failed":
        when = schedule.last_tick
        return Item("schedule", schedule.pipeline, schedule=schedule, when=when, why="its last run failed")
    return None


def last_state(schedule: ScheduleView, overview: Overview) -> str:
    """What became of the last run that it started: events tell that of the run, not of the schedule."""
    pipeline = overview.pipelines.get(schedule.pipeline)
    under_way = overview.under_way.get(schedule.last_run)
    last = (r for r in (pipeline.last if pipeline else ()) if r.id == schedule.last_run)
    run = under_way or next(last, None)
    return str(run.state) if run is not None else schedule.last_state


def next_hour(overview: Overview, now: datetime) -> list[Item]:
    """The schedules that fire within the hour, the next firing first."""
    found = []
    for schedule in overview.schedules.values():
        firings = tuple(t for t in schedule.next if now < t <= now + HOUR) if not schedule.paused else ()
        if firings:
            found.append(Item("firing", schedule.pipeline, schedule=schedule, when=firings[0], then=firings[1:]))
    return sorted(found, key=lambda i: (i.when or now, i.key))
