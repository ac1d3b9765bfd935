"""When a schedule fires, in words; the expression itself where no plain words fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from backend.schedule.cron import Cron

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_ALL = frozenset(range(7))


def describe(crons: Sequence[Cron], zone: ZoneInfo) -> str:
    """For example `every Monday at 06:00 (Europe/Berlin)`. UTC is not mentioned."""
    words = _list([_one(cron) or cron.expression for cron in crons])
    return words if zone.key == "UTC" else f"{words} ({zone.key})"


def _one(cron: Cron) -> str | None:
    days, times = _days(cron), _times(cron)
    if cron.seconds != (0,):
        times = _seconds(cron) if times == "every minute" else None
    if days is None or times is None:
        return None
    if times.startswith("every"):
        return times if days == "every day" else f"{times}, {days}"
    return f"{days} {times}"


def _times(cron: Cron) -> str | None:
    minutes, hours = cron.minutes, cron.hours
    if len(hours) == 24:
        if len(minutes) == 1:
            return f"every hour at :{minutes[0]:02d}"
        step = _step(minutes, 60)
        return None if step is None else "every minute" if step == 1 else f"every {step} minutes"
    if len(minutes) != 1:
        return None
    step = _step(hours, 24)
    if step is not None and len(hours) > 4:
        return f"every {step} hours at :{minutes[0]:02d}"
    if len(hours) > 4:
        return None
    return "at " + _list([f"{hour:02d}:{minutes[0]:02d}" for hour in hours])


def _seconds(cron: Cron) -> str | None:
    step = _step(cron.seconds, 60)
    return None if step is None else "every second" if step == 1 else f"every {step} seconds"


def _step(values: tuple[int, ...], size: int) -> int | None:
    """The step between values that fill their whole range evenly from 0."""
    step = size // len(values)
    return step if values == tuple(range(0, size, step)) and size % step == 0 else None


def _days(cron: Cron) -> str | None:
    every_day, every_month = len(cron.days) == 31, len(cron.months) == 12
    if every_day and cron.weekdays == _ALL:
        return "every day" if every_month else f"every day in {_months(cron.months)}"
    if every_day and cron.both:
        weekdays = _weekdays(cron.weekdays)
        return weekdays if every_month else f"{weekdays} in {_months(cron.months)}"
    if cron.weekdays == _ALL and cron.both and len(cron.days) <= 4:
        days = _list([_ordinal(day) for day in sorted(cron.days)])
        return f"on the {days} of every month" if every_month else f"on the {days} of {_months(cron.months)}"
    return None


def _weekdays(days: frozenset[int]) -> str:
    if days == frozenset(range(1, 6)):
        return "every weekday"
    if len(days) == 6:
        return f"every day but {_WEEKDAYS[next(iter(_ALL - days))]}"
    return "every " + _list([_WEEKDAYS[day] for day in sorted(days, key=lambda day: (day - 1) % 7)])


def _months(months: frozenset[int]) -> str:
    return _list([_MONTHS[month - 1] for month in sorted(months)])


def _ordinal(number: int) -> str:
    ending = "th" if 10 < number < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _list(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
