"""What all schedules together will do: when runs start, and how many of them are active at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, islice

from msgspec import Struct
from msgspec.structs import replace

from backend.schedule.check import cause_of
from backend.schedule.dates import days_off
from backend.schedule.model import Schedule
from backend.schedule.moments import delay, since_last
from backend.schedule.preview import opens
from backend.zones import zone_of

MOST = 2000  # starts of one schedule: what fires more often is counted so far only
MOST_IN_ALL = 500_000  # starts beyond which no more schedules are counted
GUESS = 60.0  # seconds that a run takes of which nothing is known
CROWD = 3  # starts within a minute that are worth spreading
NEAR = 30  # minutes around a crowded one in which room is looked for
ROOM = 12  # minutes with room that are named
BUSIEST = 10  # minutes
NAMED = 100  # schedules that a slot, or a crowded minute, names
_MINUTE = timedelta(minutes=1)


class Usual(Struct, frozen=True):
    """What a run of a pipeline is like: how long it takes, and how many stages run at once at the most."""

    seconds: float | None = None  # the mean of the last good ones; None: none is known
    width: int = 1


class Start(Struct, frozen=True):
    """A run that will start. `logical` is the firing's moment, which what follows inherits."""

    schedule: str
    pipeline: str
    at: datetime
    ends: datetime
    logical: datetime
    stages: int = 1
    estimated: bool = False  # it follows others, whose end is only foretold


class Slot(Struct, frozen=True):
    """A part of the time: how many runs start in it, and how many runs and stages are active at once at the most."""

    begin: datetime
    starts: int
    runs: int
    stages: int
    schedules: dict[str, int]  # those that start something -> how many times; the first `NAMED`


class Crowd(Struct, frozen=True):
    """A minute in which several runs start, and minutes nearby in which there is room."""

    at: datetime
    starts: int
    schedules: tuple[str, ...]
    room: tuple[datetime, ...]


class Forecast(Struct, frozen=True):
    """The whole time, slot by slot, and its most crowded minutes, the worst first."""

    slots: tuple[Slot, ...]
    busiest: tuple[Crowd, ...]
    starts: int
    estimated: int = 0  # of these: starts that follow others
    started: dict[str, str] = {}  # schedules that start something -> their pipelines
    cut: tuple[str, ...] = ()  # schedules of which not all was counted


def forecast(
    schedules: Sequence[Schedule],
    usual: Mapping[str, Usual],
    begin: datetime,
    end: datetime,
    slot: timedelta,
    now: datetime,
) -> Forecast:
    """What schedules do from `begin` to before `end`, if runs go as usual."""
    starts: list[Start] = []
    cut: list[str] = []
    for schedule in schedules:
        if len(starts) >= MOST_IN_ALL:
            cut.append(schedule.name)
            continue
        found, more = by_clock(schedule, usual.get(schedule.pipeline, Usual()), begin, end, now)
        starts += found
        cut += [schedule.name] * more
    after = following(schedules, starts, usual, end, now)
    starts += after
    started = {start.schedule: start.pipeline for start in starts}
    return replace(summed(starts, begin, end, slot), estimated=len(after), started=started, cut=tuple(cut))


def by_clock(
    schedule: Schedule, usual: Usual, begin: datetime, end: datetime, now: datetime
) -> tuple[list[Start], bool]:
    """What a schedule that goes by the clock starts after `begin` and before `end`; and whether that is not all."""
    since = opens(schedule, now) if schedule.kind != "after" else None
    if since is None:
        return [], False
    since = max(since, begin - timedelta(microseconds=1))
    found: list[Start] = []
    free = begin
    for tick in islice(since_last(schedule, since), MOST + 1):
        if tick >= end:
            return found, False
        at = tick + delay(schedule, tick)
        if schedule.overlap == "skip" and at < free:
            continue
        at = max(at, free) if schedule.overlap == "queue" else at
        start = _start(schedule, usual, at, tick)
        if schedule.overlap == "replace" and found and found[-1].ends > at:
            found[-1] = replace(found[-1], ends=at)
        free = start.ends
        if at < end:
            found.append(start)
    return found[:MOST], len(found) >= MOST


def following(
    schedules: Iterable[Schedule], starts: Iterable[Start], usual: Mapping[str, Usual], end: datetime, now: datetime
) -> list[Start]:
    """What the runs of `starts` make start before `end`, and what that makes start in turn, if all of them succeed."""
    runs: dict[str, list[Start]] = defaultdict(list)
    for start in starts:
        runs[start.pipeline].append(start)
    found: list[Start] = []
    for schedule in _in_order([s for s in schedules if s.kind == "after" and s.condition != "failed"]):
        since = opens(schedule, now)
        if since is None:
            continue
        causes = [sorted(runs[name], key=lambda s: s.ends) for name in dict.fromkeys(map(cause_of, schedule.after))]
        own: list[Start] = []
        for ends, logical in _met(schedule, causes):
            if since <= ends < end and _wanted(schedule, logical) and len(own) < MOST:
                at = ends + delay(schedule, logical)
                own.append(_start(schedule, usual.get(schedule.pipeline, Usual()), at, logical, estimated=True))
        runs[schedule.pipeline] += own
        found += own
    return [start for start in found if start.at < end]


def summed(starts: Sequence[Start], begin: datetime, end: datetime, slot: timedelta) -> Forecast:
    """The load, slot by slot. What is active within the same minute counts as active at once."""
    size = max(1, -((begin - end) // _MINUTE))
    per_minute: list[list[str]] = [[] for _ in range(size)]
    runs, stages = [0] * (size + 1), [0] * (size + 1)
    for start in starts:
        first, last = (min(max((moment - begin) // _MINUTE, 0), size - 1) for moment in (start.at, start.ends))
        per_minute[first].append(start.schedule)
        runs[first] += 1
        runs[last + 1] -= 1
        stages[first] += start.stages
        stages[last + 1] -= start.stages
    runs, stages = list(accumulate(runs)), list(accumulate(stages))
    step = max(1, slot // _MINUTE)
    slots = []
    for at in range(0, size, step):
        until = min(at + step, size)
        names = [name for minute in per_minute[at:until] for name in minute]
        slots.append(
            Slot(begin + at * _MINUTE, len(names), max(runs[at:until]), max(stages[at:until]), _counted(names))
        )
    return Forecast(tuple(slots), tuple(_crowds(per_minute, stages, begin)), len(starts))


def _start(schedule: Schedule, usual: Usual, at: datetime, logical: datetime, *, estimated: bool = False) -> Start:
    took = timedelta(seconds=GUESS if usual.seconds is None else usual.seconds)
    return Start(schedule.name, schedule.pipeline, at, at + took, logical, max(usual.width, 1), estimated)


def _met(schedule: Schedule, causes: Sequence[Sequence[Start]]) -> Iterator[tuple[datetime, datetime]]:
    """When runs that count together have all ended, and their latest logical time."""
    if schedule.join == "any":
        yield from sorted((start.ends, start.logical) for runs in causes for start in runs)
        return
    zone = zone_of(schedule.zone)
    groups: dict[object, list[list[Start]]] = {}
    for number, runs in enumerate(causes):
        for start in runs:
            key: object = None
            if schedule.match != "latest":
                key = start.logical.astimezone(zone).date() if schedule.match == "date" else start.logical
            groups.setdefault(key, [[] for _ in causes])[number].append(start)
    met = [together for group in groups.values() for together in zip(*group, strict=False)]
    yield from sorted((max(s.ends for s in together), max(s.logical for s in together)) for together in met)


def _wanted(schedule: Schedule, logical: datetime) -> bool:
    if (schedule.start and logical < schedule.start) or (schedule.end and logical > schedule.end):
        return False
    return logical.astimezone(zone_of(schedule.zone)).date() not in days_off(schedule)


def _in_order(schedules: Sequence[Schedule]) -> Iterator[Schedule]:
    """Those first whose causes are started by none of the others; what is left of a circle is left out."""
    makers: dict[str, set[str]] = defaultdict(set)  # pipeline -> schedules that start it
    for schedule in schedules:
        makers[schedule.pipeline].add(schedule.name)
    waits = {s.name: {m for c in s.after for m in makers.get(cause_of(c), ())} for s in schedules}
    followers: dict[str, list[Schedule]] = defaultdict(list)
    for schedule in schedules:
        for name in waits[schedule.name]:
            followers[name].append(schedule)
    ready = [s for s in schedules if not waits[s.name]]
    while ready:
        schedule = ready.pop()
        yield schedule
        for follower in followers[schedule.name]:
            waits[follower.name].discard(schedule.name)
            if not waits[follower.name]:
                ready.append(follower)


def _counted(names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        if name in found or len(found) < NAMED:
            found[name] = found.get(name, 0) + 1
    return found


def _crowds(per_minute: Sequence[Sequence[str]], stages: Sequence[int], begin: datetime) -> Iterator[Crowd]:
    """The most crowded minutes, each with the quietest around it: fewest starts, then fewest active stages."""
    order = sorted(range(len(per_minute)), key=lambda m: (-len(per_minute[m]), m))
    for minute in order[:BUSIEST]:
        names = per_minute[minute]
        if len(names) < CROWD:
            return
        near = [m for m in range(minute - NEAR, minute + NEAR + 1) if 0 <= m < len(per_minute) and m != minute]
        quiet = [m for m in near if len(per_minute[m]) < len(names) // 2]
        quiet.sort(key=lambda m: (len(per_minute[m]), stages[m], abs(m - minute), m))
        room = sorted(quiet[: min(ROOM, len(names) - 1)])
        yield Crowd(
            begin + minute * _MINUTE,
            len(names),
            tuple(islice(dict.fromkeys(names), NAMED)),
            tuple(begin + m * _MINUTE for m in room),
        )
