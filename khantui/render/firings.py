"""When a schedule fires, as lines: alone, or as it is beside as it would be. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from khantui.render.moments import ago, duration
from khantui.render.text import crop, pad, visible, width

if TYPE_CHECKING:
    from backend.api.wire import FiringView, ForesightView

Line = list[tuple[str, str]]  # (text, role)
_SHOWN = 5
_CLASHES = {"beside": "beside the run before", "waits": "waits for the run before", "replaces": "ends the run before"}


def zone_of(name: str) -> tzinfo:
    """The zone of that name, UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def firing_lines(view: ForesightView, now: datetime) -> list[Line]:
    """What may surprise; then one line a firing: in the schedule's zone, in UTC where that differs, how long until
    then, by when its run has to end, and what it meets.
    """
    there, lines = zone_of(view.zone), warning_lines(view)
    for firing in view.firings:
        line = [*_moment(firing.at, there), (f"  {ago(firing.at, now)}", "faint")]
        if firing.due_by is not None:
            line.append((f"  ends by {firing.due_by.astimezone(there):%a %H:%M}", "failed" if firing.late else "faint"))
        words = met(firing)
        lines.append([*line, (f"  ! {words}", "warning")] if words else line)
    return lines


def _moment(time: datetime, there: tzinfo) -> Line:
    local, utc = time.astimezone(there), time.astimezone(UTC)
    clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    line = [(f"{local:%a %d %b %Y} {clock}", "")]
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
        words = met(after.firings[i]) if i < len(new) else ""
        note: Line = [(f"  ! {words}", "warning")] if words else []
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


def met(firing: FiringView) -> str:
    """What a firing meets, in words; empty for nothing."""
    if firing.clash == "skipped":
        return "no run: the one before is still active"
    words = [_CLASHES.get(firing.clash, "")]
    if firing.clash != "waits" and firing.starts is not None and firing.starts > firing.at:
        words.append(f"starts at {firing.starts:%H:%M:%S} UTC")
    if firing.late and firing.due_by is not None:
        words.append(f"late for {firing.due_by:%H:%M} UTC")
    if firing.beside:
        count = len(firing.beside)
        words.append(f"{firing.beside[0]} starts then" if count == 1 else f"{count} other pipelines start then")
    return visible(", ".join(filter(None, words)))


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
    return [*lines, *warning_lines(view)]


def warning_lines(view: ForesightView) -> list[Line]:
    """What may surprise about a schedule, and why nothing is ahead of it."""
    said = [visible(view.message)] if view.message else []
    return [[(f"! {text}", "warning")] for text in (*map(visible, view.warnings), *said)]
