"""When a schedule fires, as lines: alone, or as it is beside as it would be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from khantui.render.moments import ago, duration
from khantui.render.text import crop, pad, visible, width

if TYPE_CHECKING:
    from backend.api.wire import ForesightView

Line = list[tuple[str, str]]  # (text, role)
_SHOWN = 5


def zone_of(name: str) -> tzinfo:
    """The zone of that name, UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def firing_lines(times: Sequence[datetime], zone: str, now: datetime) -> list[Line]:
    """One line a firing: in the schedule's zone, in UTC where that differs, and how long until then."""
    return [[*_moment(time, zone_of(zone)), (f"  {ago(time, now)}", "faint")] for time in times]


def _moment(time: datetime, there: tzinfo) -> Line:
    local, utc = time.astimezone(there), time.astimezone(UTC)
    line = [(f"{local:%a %d %b %Y %H:%M}", "")]
    if local.utcoffset() != utc.utcoffset():
        line.append((f" ({utc:%H:%M} UTC)", "faint"))
    return line


def side_by_side(
    before: ForesightView | None,
    after: ForesightView,
    zones: tuple[str, str],
    took: float | None,
    columns: int,
) -> list[Line]:
    """The firings as they are and as they would be (`zones` of both), and what is to be known of these.

    `took` is how long a run usually takes, in seconds: one that would not have ended when the next begins is told.
    """
    old = _column(before, zone_of(zones[0])) if before is not None else []
    new = _column(after, zone_of(zones[1]))
    left = max([_text(line) for line in old] + [20]) + 3 if before is not None else 0
    lines: list[Line] = []
    if before is not None:
        lines.append([(pad("now", left), "title"), ("after this change", "title")])
        was, will = crop(visible(before.when), left - 2), crop(visible(after.when), columns - left)
        lines.append([(pad(was, left), "faint"), (will, "strong")])
    else:
        lines.append([(crop(visible(after.when), columns), "strong")])
    for i in range(max(len(old), len(new))):
        one = old[i] if i < len(old) else []
        other = new[i] if i < len(new) else []
        line: Line = [*one, (" " * max(0, left - _text(one)), ""), *other]
        note = _note(after, i)
        if _text(line) + _text(note) > columns:
            lines.append(line)
            line = [(" " * left, "")] if note else []
        if line or note:
            lines.append([*line, *note])
    lines += _warnings(after, zones[1], took)
    return lines


def _text(line: Line) -> int:
    return sum(width(text) for text, _ in line)


def _column(view: ForesightView, there: tzinfo) -> list[Line]:
    return [_moment(firing.at, there) for firing in view.firings[:_SHOWN]]


def _note(view: ForesightView, at: int) -> Line:
    """What else starts at a firing."""
    if at >= min(_SHOWN, len(view.firings)) or not (beside := view.firings[at].beside):
        return []
    what = visible(beside[0]) if len(beside) == 1 else f"{len(beside)} other pipelines"
    return [(f"  ! {what} start{'s' * (len(beside) == 1)} then", "warning")]


def _warnings(view: ForesightView, zone: str, took: float | None) -> list[Line]:
    lines: list[Line] = []
    times = [firing.at for firing in view.firings]
    gap = min((b - a for a, b in pairwise(times)), default=None)
    if took is not None and gap is not None and gap < timedelta(seconds=took):
        said = f"! a run takes {duration(took)} of late, and the next one begins after {duration(gap.total_seconds())}"
        lines.append([(said, "warning")])
    if view.turned is not None:
        local, utc = view.turned.astimezone(zone_of(zone)), view.turned.astimezone(UTC)
        season = "earlier in UTC: summer time" if local.dst() else "later in UTC: winter time"
        lines.append([(f"~ from {local:%a %d %b %Y %H:%M} ({utc:%H:%M} UTC) on {season}", "faint")])
    return lines
