"""What a backfill would do, as lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khantui.render.moments import stamp
from khantui.render.rows import short
from khantui.render.text import visible

if TYPE_CHECKING:
    from backend.api.wire import BackfillPreview

Line = list[tuple[str, str]]  # (text, role)


def would(seen: BackfillPreview) -> list[Line]:
    """Each logical time in its order, with what its run would have, or the run that is good already."""
    lines: list[Line] = []
    for moment in seen.moments:
        at = f"{stamp(moment.logical_time)}  "
        if moment.good:
            lines.append([("✔ ", "succeeded"), (at, "faint"), (f"run {short(moment.good)} is good already", "faint")])
        else:
            given = " ".join(f"{name}={value}" for name, value in moment.environment.items())
            lines.append([("◌ ", "waiting"), (at, ""), (visible(given), "faint")])
    if len(seen.moments) < seen.total:
        lines.append([(f"… and {seen.total - len(seen.moments)} more", "faint")])
    if not lines:
        lines.append([("there is no logical time in that range", "warning")])
    return lines


def summary(seen: BackfillPreview) -> str:
    """How many runs that makes, and of which step."""
    runs = seen.total - seen.good
    good = f", {seen.good} of {seen.total} are good already" if seen.good else ""
    return visible(f"{runs} run{'s' * (runs != 1)}{good} · step {seen.step} · {seen.zone}")
