"""What all schedules together will do: when runs start, and how many of them are active at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, islice

from msgspec import Struct
from msgspec.structs import replace

from backend.schedule.check import cause_of
from backend.schedule.dates import days_off, entries_off
from backend.schedule.model import Schedule
from backend.schedule.moments import delay, steady, until
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
Memo = dict[tuple[object, ...], tuple[list[datetime], bool]]  # the ticks of schedules that are alike


class Usual(Struct, frozen=True):
    """What a run of a pipeline is like: how long it takes, and how many stages run at once at the most."""

    seconds: float | None = None  # the mean of the last good ones; None: none is known
    width: int = 1


class Start(Struct, frozen=True, gc=False):  # there may be very many
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
    causes = {cause_of(cause) for schedule in schedules for cause in schedule.after}
    load = Load(begin, end)
    memo: Memo = {}
    starts: list[Start] = []
    alike: dict[tuple[int, float | None, int], tuple[list[datetime], list[str]]] = {}
    started: dict[str, str] = {}
    cut: list[str] = []
    for schedule in schedules:
        if load.starts + len(starts) >= MOST_IN_ALL:
            cut.append(schedule.name)
            continue
        like = usual.get(schedule.pipeline, Usual())
        if schedule.overlap or schedule.jitter or schedule.kind == "after" or schedule.pipeline in causes:
            found, more = by_clock(schedule, like, begin, end, now, memo)
            starts += found
        else:  # nothing about one of its runs depends on another: it is one with all that fire then, and take as long
            ticks, more = _ticks(schedule, begin, end, now, memo)
            if ticks:
                started[schedule.name] = schedule.pipeline
                alike.setdefault((id(ticks), like.seconds, like.width), (ticks, []))[1].append(schedule.name)
                load.starts += len(ticks)
        cut += [schedule.name] * more
    after = following(schedules, starts, usual, end, now)
    for (_, seconds, width), (ticks, names) in alike.items():
        load.add(ticks, _took(Usual(seconds)), max(width, 1), names)
    for start in (*starts, *after):
        started[start.schedule] = start.pipeline
        load.add((start.at,), start.ends - start.at, start.stages, (start.schedule,))
    load.starts += len(starts) + len(after)
    return replace(load.summed(slot), estimated=len(after), started=started, cut=tuple(cut))


def by_clock(
    schedule: Schedule, usual: Usual, begin: datetime, end: datetime, now: datetime, memo: Memo
) -> tuple[list[Start], bool]:
    """What a schedule that goes by the clock starts after `begin` and before `end`; and whether that is not all.

    `memo` has the ticks of others like it: many schedules fire at the same times.
    """
    found: list[Start] = []
    free, took, width = begin, _took(usual), max(usual.width, 1)
    ticks, more = _ticks(schedule, begin, end, now, memo)
    for tick in ticks:
        at = tick + delay(schedule, tick) if schedule.jitter else tick
        if schedule.overlap == "skip" and at < free:
            continue
        at = max(at, free) if schedule.overlap == "queue" else at
        start = Start(schedule.name, schedule.pipeline, at, at + took, tick, width)
        if schedule.overlap == "replace" and found and found[-1].ends > at:
            found[-1] = replace(found[-1], ends=at)
        free = start.ends
        if at < end:
            found.append(start)
    return found, more


def _ticks(
    schedule: Schedule, begin: datetime, end: datetime, now: datetime, memo: Memo
) -> tuple[list[datetime], bool]:
    """Its ticks by the clock before `end`, the first `MOST` of them; and whether there are more."""
    since = opens(schedule, now) if schedule.kind != "after" else None
    if since is None:
        return [], False
    since = max(since, begin - timedelta(microseconds=1))
    last = schedule.last_tick
    shared = schedule.kind == "cron" and (last is None or last >= since or steady(schedule, last, since))
    key = (schedule.cron, schedule.zone, schedule.start, schedule.end, entries_off(schedule), since)
    if shared and key in memo:
        return memo[key]
    ticks = until(schedule, since, end, MOST + 1)
    found = ticks[:MOST], len(ticks) > MOST
    if shared:
        memo[key] = found
    return found


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
        like = usual.get(schedule.pipeline, Usual())
        took, width = _took(like), max(like.width, 1)
        for ends, logical in _met(schedule, causes):
            if since <= ends < end and _wanted(schedule, logical) and len(own) < MOST:
                at = ends + delay(schedule, logical)
                own.append(Start(schedule.name, schedule.pipeline, at, at + took, logical, width, estimated=True))
        runs[schedule.pipeline] += own
        found += own
    return [start for start in found if start.at < end]


class Load:
    """What is active when, minute by minute. What is active within the same minute counts as active at once."""

    def __init__(self, begin: datetime, end: datetime) -> None:
        self.starts = 0
        self._begin = begin
        self._size = max(1, -((begin - end) // _MINUTE))
        self._names: list[list[str]] = [[] for _ in range(self._size)]  # of schedules that start something
        self._runs, self._stages = [0] * (self._size + 1), [0] * (self._size + 1)  # more, or fewer, than before

    def add(self, moments: Iterable[datetime], took: timedelta, stages: int, names: Sequence[str]) -> None:
        """At each of these moments a run of each of these schedules."""
        begin, last_minute, span, count = self._begin, self._size - 1, took.total_seconds(), len(names)
        per_minute, runs, active = self._names, self._runs, self._stages
        for at in moments:
            second = (at - begin).total_seconds()
            first = min(max(int(second // 60), 0), last_minute)
            after = min(max(int((second + span) // 60), first), last_minute) + 1
            per_minute[first] += names
            runs[first] += count
            runs[after] -= count
            active[first] += stages * count
            active[after] -= stages * count

    def summed(self, slot: timedelta) -> Forecast:
        """All of it, slot by slot, and what is most crowded."""
        runs, stages = list(accumulate(self._runs)), list(accumulate(self._stages))
        step = max(1, slot // _MINUTE)
        slots = []
        for at in range(0, self._size, step):
            until = min(at + step, self._size)
            names = [name for minute in self._names[at:until] for name in minute]
            begin = self._begin + at * _MINUTE
            slots.append(Slot(begin, len(names), max(runs[at:until]), max(stages[at:until]), _counted(names)))
        return Forecast(tuple(slots), tuple(_crowds(self._names, stages, self._begin)), self.starts)


def _took(usual: Usual) -> timedelta:
    return timedelta(seconds=GUESS if usual.seconds is None else usual.seconds)


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
    return dict(islice(Counter(names).items(), NAMED))


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
