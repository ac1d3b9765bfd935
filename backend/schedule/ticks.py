"""Which ticks of a schedule are due, and what becomes of those that were missed.

Whoever makes the ticks asks here: the daemon's own loop what is `due`, the controller of Kubernetes' CronJobs what is
to become of one (`judge`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from backend.schedule.dates import left_out
from backend.schedule.model import Schedule
from backend.schedule.moments import delay, next_moment, since_last, steady, up_to

GRACE = timedelta(seconds=60)  # a tick so late is on time, whatever the policy
MOST = 1000  # missed ticks that are made up for at once
MANY = 20_000  # moments that are gone through one by one, where clocks have changed in between
_HOUR = timedelta(hours=1)
AHEAD = timedelta(days=1)  # a tick that was dealt with further ahead than that, was by a clock that was wrong


class Due(Struct, frozen=True):
    """What to do now, and when to look again."""

    ticks: tuple[datetime, ...]  # to run now, oldest first, in UTC
    last_tick: datetime | None  # the schedule's new value once they are made
    next: datetime | None  # None: never, as it stands
    done: bool = False
    message: str = ""  # what was left out
    resumed: bool = False  # its pause is over


class Verdict(Struct, frozen=True):
    """What is to become of one tick."""

    make: bool  # it makes a run, unless the pipeline or an overlap is in the way
    at: datetime  # not before
    message: str = ""  # why it makes none


def awake(schedule: Schedule, now: datetime) -> Schedule:
    """The schedule as it is once a pause that has come to its end is over: what fell into it is dealt with."""
    until = schedule.paused_until
    if not schedule.paused or until is None or until > now:
        return schedule
    last = max(until, schedule.last_tick) if schedule.last_tick else until
    return replace(schedule, paused=False, paused_by="", paused_reason="", paused_until=None, last_tick=last)


def due(schedule: Schedule, now: datetime) -> Due:
    """What of `schedule` is due at `now` (aware).

    Nothing at or before its `last_tick` ever is, wherever the clock; unless that is so far ahead that the schedule
    would be silent for good because a clock was wrong once: then it goes on from now.
    """
    said = ""
    if schedule.last_tick is not None and schedule.last_tick > now + AHEAD and not schedule.done:
        said = f"the clock was set back: its last tick was {schedule.last_tick.isoformat()}; it goes on from now"
        schedule = replace(schedule, last_tick=now)
    resumed = awake(schedule, now)
    found = _due(resumed, now)
    if said and not found.message:
        found = replace(found, message=said)
    return found if resumed is schedule else replace(found, resumed=True)


def judge(schedule: Schedule, tick: datetime, now: datetime) -> Verdict:
    """What is to become of `tick`, one of the schedule's moments, looked at alone."""
    schedule = awake(schedule, now)
    at = tick + delay(schedule, tick)
    if schedule.paused:
        return Verdict(False, at, "it is paused")
    if schedule.last_tick is not None and tick <= schedule.last_tick:
        return Verdict(False, at, "it has been dealt with, or fell into a pause")
    if next(since_last(schedule, tick - timedelta(microseconds=1)), None) != tick:
        return Verdict(False, at, left_out(schedule, tick) or "the schedule does not fire then")
    if now - at < GRACE:
        return Verdict(True, at)
    if schedule.catch_up == "none":
        return Verdict(False, at, f"missed {tick.isoformat()} and makes up for nothing")
    if schedule.window and now - at > timedelta(seconds=schedule.window):
        return Verdict(False, at, f"missed {tick.isoformat()} too long ago to be made up for")
    if schedule.catch_up == "latest":
        newer = next_moment(schedule, tick)
        if newer is not None and newer + delay(schedule, newer) <= now:
            return Verdict(False, at, f"missed {tick.isoformat()}; a newer one stands for it")
    return Verdict(True, at)


def ticked(schedule: Schedule, decision: Due, tick: datetime, run: str, message: str) -> Schedule:
    """The schedule once one of a decision's ticks is noted, with the id of the run that it made, if it made one."""
    last = tick == decision.ticks[-1]
    return replace(
        settled(schedule, decision),
        last_tick=tick,
        last_run=run or schedule.last_run,
        message=message or decision.message,
        done=decision.done and last,  # whoever takes over in between finds the others still to be made
    )


def settled(schedule: Schedule, decision: Due) -> Schedule:
    """The schedule once a decision without ticks is noted."""
    if decision.resumed:
        schedule = replace(schedule, paused=False, paused_by="", paused_reason="", paused_until=None)
    return replace(
        schedule, last_tick=decision.last_tick, done=decision.done, message=decision.message or schedule.message
    )


def _due(schedule: Schedule, now: datetime) -> Due:
    if schedule.paused:
        return Due((), schedule.last_tick, schedule.paused_until, schedule.done)
    if schedule.done or schedule.kind == "after":
        return Due((), schedule.last_tick, None, schedule.done)
    since = schedule.last_tick or schedule.created or now
    found, following = _newest(schedule, since, now)
    ripe, waiting = _ripe(schedule, found, now)
    if waiting is None and following is not None:
        waiting = following + delay(schedule, following)
    done = waiting is None and (schedule.kind == "once" or schedule.end is not None)
    if not ripe:
        passed = "its moment passed while it was paused" if schedule.kind == "once" else "its end has come"
        return Due((), schedule.last_tick, waiting, done, passed if done else "")
    ticks, message = _chosen(schedule, ripe, now)
    if message == "" and schedule.catch_up == "all" and len(found) >= MOST:
        message = _left_out(schedule, since, ticks)
    return Due(ticks, ripe[-1][0], waiting, done, message)


def _newest(schedule: Schedule, since: datetime, now: datetime) -> tuple[list[datetime], datetime | None]:
    """The newest moments after `since` up to `now`, and the first one behind it.

    As many as may count, and those whose delay is not over; they are looked for in ever longer stretches before `now`,
    where that finds the same ones.
    """
    count = MOST if schedule.catch_up == "all" else 1
    stretch = max(_HOUR, GRACE + timedelta(seconds=2 * schedule.jitter))
    if now - since > stretch and not steady(schedule, since, now):
        found, following = up_to(schedule, since, now, MANY)
        if len(found) < MANY:
            return found[-MOST:], following
    while True:
        begin = max(since, now - stretch)
        found, following = up_to(schedule, begin, max(begin, now))
        if begin == since or (len(found) >= count and found[count - 1] + delay(schedule, found[count - 1]) <= now):
            return found[-MOST:], following
        stretch *= 4


def _ripe(
    schedule: Schedule, ticks: list[datetime], now: datetime
) -> tuple[list[tuple[datetime, datetime]], datetime | None]:
    """Those whose delay is over, with the moments at which it was; and when the next one's is. None overtakes."""
    ripe: list[tuple[datetime, datetime]] = []
    for tick in ticks:
        at = tick + delay(schedule, tick)
        if at > now:
            return ripe, at
        ripe.append((tick, at))
    return ripe, None


def _chosen(
    schedule: Schedule, ripe: list[tuple[datetime, datetime]], now: datetime
) -> tuple[tuple[datetime, ...], str]:
    """Which of them make runs, and what is to be said of the others."""
    on_time = tuple(tick for tick, at in ripe if now - at < GRACE)
    newest = ripe[-1][0]
    if schedule.catch_up == "none":
        return on_time, "" if on_time else f"missed {newest.isoformat()} and makes up for nothing"
    window = timedelta(seconds=schedule.window)
    fresh = tuple(tick for tick, at in ripe if not window or now - at <= max(window, GRACE))
    if not fresh:
        return (), f"missed {newest.isoformat()} too long ago to be made up for"
    if schedule.catch_up == "latest":
        return on_time or (newest,), ""
    if len(fresh) < len(ripe):
        return fresh, f"missed ticks before {fresh[0].isoformat()} were too old to be made up for"
    return fresh, ""


def _left_out(schedule: Schedule, since: datetime, ticks: tuple[datetime, ...]) -> str:
    oldest = next_moment(schedule, since)
    if oldest is None or not ticks or oldest >= ticks[0]:
        return ""
    return f"missed ticks from {oldest.isoformat()} to before {ticks[0].isoformat()} were left out"
