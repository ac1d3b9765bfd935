"""A run beside the last good one: what was different, nearest to the cause first. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from backend.api.wire import RunView, StageView
from khantui.render.difference import pieces
from khantui.render.moments import duration, stamp
from khantui.render.rows import short
from khantui.render.text import crop, visible

Pieces = list[tuple[str, str]]
_LINES = 60  # of a document's diff that are shown
_WIDE = 200  # characters of a log's line that are shown
_SLOW = 1.5  # times as long as before: told
# what differs in each log and says nothing: times, and how long something took
_MOMENTS = re.compile(
    r"\d{4}-\d\d-\d\d[T ]?|\d\d:\d\d(:\d\d)?([.,]\d+)?|\b\d+([.,]\d+)?\s?(ms|us|µs|ns|s|sec|seconds)\b"
)


class Parting(NamedTuple):
    """Where the logs of a stage part: the number of the line, and what each says there ("": it had ended)."""

    stage: str
    line: int
    now: str
    then: str


def parting(stage: str, now: Sequence[str], then: Sequence[str]) -> Parting | None:
    """The first line in which two logs differ by more than times; None if that is none of these."""
    for number in range(max(len(now), len(then))):
        one = now[number] if number < len(now) else ""
        other = then[number] if number < len(then) else ""
        if _MOMENTS.sub("", one) != _MOMENTS.sub("", other):
            return Parting(stage, number + 1, one, other)
    return None


def against(run: RunView, good: RunView, diff: Sequence[str], parted: Parting | None) -> list[Pieces]:
    """What is different about `run`; `diff` is that of the documents, where their versions differ."""
    now, then = _stages(run), _stages(good)
    lines: list[Pieces] = [
        [("this run   ", "faint"), (_named(run), str(run.state))],
        [("last good  ", "faint"), (_named(good), str(good.state))],
    ]
    lines += _section("log", _log(parted))
    lines += _section("document", _document(run, good, diff))
    lines += _section("parameters", _mapping(good.parameters, run.parameters))
    environment = [r.environment if isinstance(r.environment, dict) else {} for r in (good, run)]
    lines += _section("environment", _mapping(*environment))
    lines += _section("images", _mapping({n: s.image for n, s in then.items()}, {n: s.image for n, s in now.items()}))
    lines += _section("inputs, by their hashes", _mapping(_inputs(then), _inputs(now)))
    lines += _section("times", _times(run, good, now, then))
    if len(lines) == 2:
        lines += [[], [("nothing is different that is known here: the same document, inputs, images and log", "")]]
    return lines


def _named(run: RunView) -> str:
    took = f" · {duration((run.ended - run.started).total_seconds())}" if run.started and run.ended else ""
    return visible(f"{run.pipeline} {short(run.id)} · v{run.version} · {stamp(run.logical_time)} · {run.state}{took}")


def _stages(run: RunView) -> dict[str, StageView]:
    return {s.name: s for s in run.stages} if isinstance(run.stages, tuple) else {}


def _section(title: str, lines: list[Pieces]) -> list[Pieces]:
    return [[], [(title, "strong")], *lines] if lines else []


def _log(parted: Parting | None) -> list[Pieces]:
    if parted is None:
        return []
    head: Pieces = [(f"  {visible(parted.stage)} parts from it in line {parted.line}", "")]
    was, now = (crop(visible(text), _WIDE) if text else "(had ended)" for text in (parted.then, parted.now))
    return [head, [("  − ", "failed"), (was, "faint")], [("  + ", "succeeded"), (now, "")]]


def _document(run: RunView, good: RunView, diff: Sequence[str]) -> list[Pieces]:
    if run.version == good.version:
        return []
    head: Pieces = [(f"  v{good.version} → v{run.version}", "")]
    shown = [[("  ", ""), *line] for line in pieces(diff[:_LINES])]
    rest = len(diff) - _LINES
    return [head, *shown, *([[(f"  … {rest} more lines", "faint")]] if rest > 0 else [])]


def _mapping(then: Mapping[str, str], now: Mapping[str, str]) -> list[Pieces]:
    """Each name whose value is another one."""
    changed = [n for n in (*then, *(n for n in now if n not in then)) if then.get(n) != now.get(n)]
    wide = max((len(visible(n)) for n in changed), default=0)
    lines: list[Pieces] = []
    for name in changed:
        was, now_ = (visible(side[name]) if name in side else "–" for side in (then, now))
        lines.append([(f"  {visible(name):<{wide}}  ", "faint"), (was, "faint"), (" → ", "faint"), (now_, "")])
    return lines


def _inputs(stages: Mapping[str, StageView]) -> dict[str, str]:
    """`stage reads artifact` -> the beginning of its hash."""
    return {f"{s.name} reads {name}": digest[:12] for s in stages.values() for name, digest in s.inputs.items()}


def _times(run: RunView, good: RunView, now: Mapping[str, StageView], then: Mapping[str, StageView]) -> list[Pieces]:
    """What took much longer, or much shorter, than before."""
    sides = [("the whole run", _took(good.started, good.ended), _took(run.started, run.ended))]
    sides += [
        (n, _took(then[n].started, then[n].ended), _took(s.started, s.ended)) for n, s in now.items() if n in then
    ]
    lines: list[Pieces] = []
    for name, was, is_ in sides:
        if was is None or is_ is None or abs(is_ - was) < 1 or 1 / _SLOW < (is_ + 0.1) / (was + 0.1) < _SLOW:
            continue
        role = "warning" if is_ > was else "succeeded"
        lines.append([(f"  {visible(name)}  ", "faint"), (f"{duration(was)} → ", "faint"), (duration(is_), role)])
    return lines


def _took(started: datetime | None, ended: datetime | None) -> float | None:
    return (ended - started).total_seconds() if started and ended else None
