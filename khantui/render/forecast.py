"""A forecast as a chart that people read: a bar for each slot, and the minutes in which too much starts. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from khantui.render.text import crop, pad, visible, width

if TYPE_CHECKING:
    from backend.api.wire import ForecastView

Line = list[tuple[str, str]]  # (text, role)
_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDEST = 60  # columns of a bar
_LEFT = 34  # columns before it
_NAMES = 4  # schedules that are named of a crowded minute
_MINUTES = 6  # minutes with room


def chart(view: ForecastView, zone: tzinfo, columns: int = 100) -> list[Line]:
    """One line a slot: its time in `zone`, how many runs start, and a bar of the stages that run at once."""
    most = max((slot.stages for slot in view.slots), default=0)
    space = max(10, min(_WIDEST, columns - _LEFT))
    lines: list[Line] = [[(pad("", 11), ""), (f"{'starts':>6} {'runs':>6} {'stages':>7}  at once", "title")]]
    day = None
    for slot in view.slots:
        local = slot.begin.astimezone(zone)
        head = f"{local:%a %H:%M}" if local.date() != day else f"    {local:%H:%M}"
        day = local.date()
        crowded = bool(view.places) and slot.stages > view.places
        numbers = f"{slot.starts or '':>6} {slot.runs or '':>6} {slot.stages or '':>7}  "
        lines.append([(pad(head, 11), "faint"), (numbers, ""), (bar(slot.stages, most, space), _role(crowded))])
    return lines


def about(view: ForecastView, zone: tzinfo) -> Iterator[Line]:
    """What is to be known beside the chart: crowded minutes with room nearby, and what was only assumed."""
    for crowd in view.busiest:
        names = [visible(name) for name in crowd.schedules[:_NAMES]]
        more = crowd.starts - len(names)
        said = ", ".join(names) + (f" and {more} more" if more > 0 else "")
        yield [(f"! {_clock(crowd.at, zone)} {crowd.starts} runs start: {said}", "warning")]
        if crowd.room:
            room = crowd.room[:: max(1, len(crowd.room) // _MINUTES)][:_MINUTES]
            yield [(f"  room at {', '.join(f'{m.astimezone(zone):%H:%M}' for m in room)}; or give them a jitter", "")]
    peak = max(view.slots, key=lambda slot: slot.stages, default=None)
    if peak is not None and view.places and peak.stages > view.places:
        yield [
            (f"~ at {_clock(peak.begin, zone)} up to {peak.stages} stages for {view.places} places: some wait", "faint")
        ]
    if view.estimated:
        yield [
            (f"~ {view.estimated} of {view.starts} starts follow other pipelines: their times are estimated", "faint")
        ]
    if view.unknown:
        yield [(f"~ no good run is known of {_some(view.unknown)}: a minute each is assumed", "faint")]
    if view.cut:
        yield [(f"~ too often to count all of it: {_some(view.cut)}", "faint")]


def bar(value: int, most: int, space: int) -> str:
    """A bar for `value`, where `most` takes all of `space` columns; what is not nothing is seen."""
    eighths = value * space * 8 // most if most else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip() or ("▏" if value else "")


def _role(crowded: bool) -> str:
    return "warning" if crowded else "info"


def _clock(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%a %H:%M}"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(map(visible, names[:_NAMES])) + more


def text_of(line: Line, columns: int | None) -> str:
    """A line as plain text, no wider than the terminal."""
    text = "".join(piece for piece, _ in line).rstrip()
    return crop(text, columns) if columns and width(text) > columns else text
