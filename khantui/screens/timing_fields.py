"""The fields of a form for schedules, one a line; those for schedules of some kinds only have these as classes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from zoneinfo import available_timezones

from textual.containers import Horizontal
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Label, Select, SelectionList

from khantui.render.text import visible
from khantui.state.timing import CONDITIONS, KINDS, MISSED, OVERLAPS, TIMES, TOGETHER, Timing
from khantui.widgets.field import marked

AS_WRITTEN = ""
TEXTS = frozenset(
    ("name", "cron", "zone", "at", "every", "window", "jitter", "start", "end", "skip", "calendars", "deadline")
)  # fields of a `Timing` that are typed
CHOICES = frozenset(("kind", "catch_up", "condition", "together", "overlap"))  # and those that are chosen
_CLOCK = ("cron", "once", "every")


def row(label: str, field: Widget, *kinds: str) -> Horizontal:
    """A field with its label on one line; with `kinds` it is for schedules of these only."""
    return Horizontal(
        Label(visible(label), markup=False), field, classes=" ".join(("row", *kinds, *["only"][: len(kinds)]))
    )


def zone_field(value: str) -> Input:
    """A time zone."""
    zones = SuggestFromList(sorted(available_timezones()), case_sensitive=False)
    hint = "Europe/Paris; → takes the ghost text"
    return Input(value, placeholder=hint, suggester=zones, id="zone", compact=True)


def times_fields(timing: Timing, pipelines: Collection[str]) -> Iterable[Widget]:
    """When it fires."""
    yield row("it runs", _choice("kind", timing.kind, KINDS))
    times = [*TIMES, ("as written below", AS_WRITTEN)]
    yield row("when", _choice("times", preset(timing.cron), times), "cron")
    yield row("cron", _text("cron", timing.cron, "minute hour day month weekday; several with ; between"), "cron")
    yield row("at", _text("at", timing.at, "2026-11-23T06:00"), "once")
    yield row("every", _text("every", timing.every, "90m, 1d; of absolute time, whatever clocks do"), "every")
    yield row("after", _causes(timing, pipelines), "after")
    yield row("that", _choice("condition", timing.condition, CONDITIONS), "after")
    yield row("it starts", _choice("together", timing.together, TOGETHER), "after")
    yield row("time zone", zone_field(timing.zone))


def policy_fields(timing: Timing) -> Iterable[Widget]:
    """What happens around it."""
    yield row("if missed", _choice("catch_up", timing.catch_up, MISSED), *_CLOCK)
    yield row("none older", _text("window", timing.window, "than 2d is made up for"), *_CLOCK)
    yield row("if one runs", _choice("overlap", timing.overlap, OVERLAPS))
    yield row("deadline", _text("deadline", timing.deadline, "when it must have ended: 07:00, 07:00+1d, or 2h"))
    yield row("jitter", _text("jitter", timing.jitter, "5m: up to so long later, each time another while"))
    yield row("not before", _text("start", timing.start, "2026-12-01"))
    yield row("nor after", _text("end", timing.end, "2026-12-31, that day included"))
    yield row("not on", _text("skip", timing.skip, "2026-12-25 2026-12-24..2027-01-02 12-25"))
    yield row("nor days of", _text("calendars", timing.calendars, "calendars: khantui calendars lists them"))


def preset(cron: str) -> str:
    """The expression, if it is one of those that can be chosen by their words."""
    known: Sequence[str] = [value for _, value in TIMES]
    return cron if cron in known else AS_WRITTEN


def _text(name: str, value: str, hint: str) -> Input:
    return Input(value, placeholder=hint, id=name, compact=True)


def _choice(name: str, value: str, choices: Sequence[tuple[str, str]]) -> Select[str]:
    return Select(choices, value=value, allow_blank=False, id=name, compact=True)


def _causes(timing: Timing, pipelines: Collection[str]) -> SelectionList[str]:
    known = sorted({*pipelines, *timing.after} - {timing.pipeline})
    chosen = timing.after
    causes = SelectionList[str](*((marked(n, n in chosen), n, n in chosen) for n in known), id="after", compact=True)
    causes.styles.height = max(1, min(5, len(known)))
    return causes
