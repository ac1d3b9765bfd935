"""What somebody should know about a schedule that works: what clocks do to it, and where others would differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from backend.schedule.cron import Cron, kubernetes_form, kubernetes_problems, parse_cron
from backend.schedule.model import Schedule
from backend.schedule.moments import upcoming
from backend.schedule.times import between
from backend.schedule.walk import stalls
from backend.zones import changes_between, instants, offset_at, zone_of

_AHEAD = timedelta(days=400)  # how far clocks are looked at: over each change at least once
_AROUND = timedelta(hours=26)
_COMPARED = 60  # firings around a change
_FAR, _FEW = timedelta(days=1500), 4  # firings from now on, which also tell whether days are read alike
_DENSE = 8  # of the hours of a day: what fires in so many need not be told of one
_DAY = timedelta(days=1)


def warnings(schedule: Schedule, now: datetime) -> tuple[str, ...]:
    """Sentences, the most surprising first; none for a schedule without surprises."""
    found: list[str] = []
    if schedule.kind == "cron":
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        for expression in schedule.cron:
            found += _expression(expression, schedule.zone, today)
    return tuple(dict.fromkeys([*found, *_crowded(schedule, now)]))


@lru_cache(maxsize=1024)
def _expression(expression: str, zone_name: str, now: datetime) -> tuple[str, ...]:
    cron, zone = parse_cron(expression), zone_of(zone_name)
    return (*_clocks(cron, zone, now), *_differences(cron, zone, now), *_refused(cron))


def _clocks(cron: Cron, zone: ZoneInfo, now: datetime) -> list[str]:
    """What the next changes of the clocks do to an expression for a few times a day."""
    found: list[str] = []
    if len(cron.hours) >= _DENSE:
        return found
    for change in changes_between(zone, now.astimezone(UTC), now.astimezone(UTC) + _AHEAD):
        shift = offset_at(zone, change) - offset_at(zone, change - timedelta(seconds=1))
        wall = change.astimezone(zone).replace(tzinfo=None)
        begin, end = (wall - shift, wall) if shift > timedelta() else (wall, wall - shift)
        hit = next((w for w in _walls(cron, begin, end)), None)
        if hit is not None and not instants(zone, hit):
            found.append(f"{hit:%Y-%m-%d %H:%M} does not exist in {zone.key}: it does not fire then")
        elif hit is not None:
            found.append(f"{hit:%Y-%m-%d %H:%M} comes twice in {zone.key}: it fires twice")
        if stalls(cron, zone, change - 3 * _DAY):
            found.append(
                f"in {zone.key} {change.astimezone(zone):%Y-%m-%d} has no midnight: Kubernetes' CronJob controller "
                "does not get over it with days chosen like these; here it fires on"
            )
    return found


def _walls(cron: Cron, begin: datetime, end: datetime) -> list[datetime]:
    """The wall times from `begin` to before `end` that an expression names."""
    return [
        wall
        for number in range(int((end - begin) / timedelta(minutes=1)))
        if cron.on((wall := begin + timedelta(minutes=number)).date())
        and wall.hour in cron.hours
        and wall.minute in cron.minutes
    ]


def _differences(cron: Cron, zone: ZoneInfo, now: datetime) -> list[str]:
    """Where croniter, and what schedules with it, would fire at other times than Kubernetes and this."""
    begins = [(now, now + _FAR, _FEW)]
    begins += [(c - _AROUND, c + _AROUND, _COMPARED) for c in changes_between(zone, now, now + _AHEAD)]
    for begin, end, count in begins:
        try:
            theirs = _theirs(cron, zone, begin, end, count)
        except (CroniterError, ValueError, OverflowError):  # it does not know the expression at all
            return []
        ours = set(between([cron], zone, begin, end, count))
        last = min((max(times) for times in (ours, theirs) if len(times) == count), default=end)
        for moment in sorted(ours ^ theirs):
            if moment <= last:
                who, other = ("croniter", "Kubernetes does not") if moment in theirs else ("Kubernetes", "croniter not")
                local = f"{moment.astimezone(zone):%Y-%m-%d %H:%M %z}"
                return [f"{cron.expression!r}: {who} fires at {local}, {other}; Khantui does as Kubernetes does"]
    return []


def _theirs(cron: Cron, zone: ZoneInfo, begin: datetime, end: datetime, count: int) -> set[datetime]:
    times = croniter(cron.expression.replace("?", "*"), begin.astimezone(zone), max_years_between_matches=5)
    found: set[datetime] = set()
    while len(found) < count and (moment := times.get_next(datetime).astimezone(UTC)) <= end:
        found.add(moment)
    return found


def _refused(cron: Cron) -> list[str]:
    problems = kubernetes_problems(cron.expression)
    if not problems:
        return []
    form = kubernetes_form(cron)
    end = f"; as a CronJob it is {form!r}" if form else "; the daemon itself fires it, also on Kubernetes"
    return [f"{cron.expression!r} is no expression for a CronJob: {', '.join(problems)}{end}"]


def _crowded(schedule: Schedule, now: datetime) -> list[str]:
    """A jitter that reaches over to the next firing."""
    if not schedule.jitter:
        return []
    moments = islice(upcoming(schedule, now), _COMPARED)
    gap = min((later - earlier for earlier, later in pairwise(moments)), default=None)
    if gap is None or gap >= timedelta(seconds=schedule.jitter):
        return []
    return ["the jitter is longer than the time between two firings: some will come close together"]
