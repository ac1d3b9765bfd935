"""The next firing near a change of the clocks, found in the steps in which Kubernetes' CronJob controller finds it.

Its library (robfig/cron) moves a hand forward: to the next month that fits, then to the next day, hour, minute and
second; whenever a field runs over, it begins again at the month. The hand moves over wall clocks for months and days,
and over real time for hours and below. Where clocks change, what it meets depends on these very steps: a day that
begins at 01:00 is entered without being looked at, for example. So they are the definition here as well.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from backend.schedule.cron import Cron
from backend.zones import offset_at

YEARS = 5  # no match within so many calendar years counts as never


def walk(cron: Cron, zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The first firing after `moment` (aware), in UTC; None if there is none within five calendar years."""
    return _walk(_Hand(zone, moment), cron)


def stalls(cron: Cron, zone: ZoneInfo, moment: datetime) -> bool:
    """Whether Kubernetes' controller, asked for the first firing after `moment`, would never come to an end."""
    hand = _Hand(zone, moment)
    _walk(hand, cron)
    return hand.stalled


def _walk(hand: _Hand, cron: Cron) -> datetime | None:
    last = hand.wall.year + YEARS
    while hand.wall.year <= last:
        if (
            hand.to_month(cron)
            and hand.to_day(cron)
            and hand.to_hour(cron)
            and hand.to_minute(cron)
            and hand.to_second(cron)
        ):
            return hand.at
    return None


def _instant(zone: ZoneInfo, wall: datetime) -> datetime:
    """The instant that Go's `time.Date` gives for a wall time, whether it exists once, twice or not at all."""
    naive = wall.replace(tzinfo=UTC)
    return naive - offset_at(zone, naive - offset_at(zone, naive))


class _Hand:
    """An instant and what the clocks of a zone show at it. Its moves are false where a field has run over."""

    def __init__(self, zone: ZoneInfo, moment: datetime) -> None:
        self._zone = zone
        self.stalled = False
        self._moved = False  # once it has, it stands at the beginning of something
        self._set(moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1))

    def _set(self, at: datetime) -> None:
        self.at = at
        self.wall = at.astimezone(self._zone).replace(tzinfo=None)

    def _show(self, wall: datetime) -> None:
        self._set(_instant(self._zone, wall))

    def _begin(self, wall: datetime) -> None:
        if not self._moved:
            self._moved = True
            self._show(wall)

    def to_month(self, cron: Cron) -> bool:
        while self.wall.month not in cron.months:
            self._begin(self.wall.replace(day=1, hour=0, minute=0, second=0))
            wall = self.wall
            first = wall.replace(year=wall.year + wall.month // 12, month=wall.month % 12 + 1, day=1)
            self._show(first + timedelta(days=wall.day - 1))
            if self.wall.month == 1:
                return False
        return True

    def to_day(self, cron: Cron) -> bool:
        while not cron.on_day(self.wall):
            self._begin(self.wall.replace(hour=0, minute=0, second=0))
            at, wall, days = self.at, self.wall, 1
            self._to_midnight(wall + timedelta(days=days))
            while self.at <= at:  # Kubernetes' controller stays here for ever
                self.stalled, days = True, days + 1
                self._to_midnight(wall + timedelta(days=days))
            if self.wall.day == 1:
                return False
        return True

    def _to_midnight(self, wall: datetime) -> None:
        self._show(wall)
        if hour := self.wall.hour:  # there is no such midnight, or it came from a day without one
            self._set(self.at + timedelta(hours=24 - hour if hour > 12 else -hour))

    def to_hour(self, cron: Cron) -> bool:
        while self.wall.hour not in cron.hours:
            self._begin(self.wall.replace(minute=0, second=0))
            self._set(self.at + timedelta(hours=1))
            if self.wall.hour == 0:
                return False
        return True

    def to_minute(self, cron: Cron) -> bool:
        while self.wall.minute not in cron.minutes:
            if not self._moved:
                self._moved = True
                self._set(self.at.replace(second=0))
            self._set(self.at + timedelta(minutes=1))
            if self.wall.minute == 0:
                return False
        return True

    def to_second(self, cron: Cron) -> bool:
        second = self.wall.second
        if second in cron.seconds:
            return True
        self._moved = True
        following = next((s for s in cron.seconds if s > second), 60)
        self._set(self.at + timedelta(seconds=following - second))
        return following < 60
