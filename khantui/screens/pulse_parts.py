"""The sections of the pulse: which columns they have, and the lines of charts and health."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from backend.api.wire import DaemonView
from khantui.render.moments import ago, duration, size, span
from khantui.render.rows import short
from khantui.render.spark import chart
from khantui.render.status import progress_parts, symbol
from khantui.render.table import Cell, Column
from khantui.state.link import Link
from khantui.state.overview import Overview
from khantui.state.pulse import MOST_RUNS, Bucket, History, Item, days, failing, hours, late, next_hour, running
from khantui.widgets.sections import Pieces, Section, fact

_LABEL = 6  # columns at the left of a chart
_MARGIN = 3  # and what the list itself takes
_FULL = 0.8  # of etcd's quota: from there on somebody should look


def list_sections(overview: Overview, history: History, now: datetime, words: str = "") -> list[Section[Item]]:
    """What there is to act on, of the pipelines that have these words in their names."""

    def named(items: list[Item]) -> list[Item]:
        return [i for i in items if all(word.lower() in i.pipeline.lower() for word in words.split())]

    failed, runs = named(failing(overview, history)), named(running(overview, now))
    waits, soon = named(late(overview, now)), named(next_hour(overview, now))
    slow = sum(item.slow for item in runs)
    noted = [(f"{len(runs)}", "running"), (f" · {slow} slow" if slow else "", "warning")]
    return [
        Section("Failing now", _count(failed, "failed", "✔ nothing", "succeeded"), _failing_columns(now), failed),
        Section("Running", noted if runs else [("nothing", "faint")], _running_columns(now), runs),
        Section("Late or waiting", _count(waits, "warning", "✔ nothing", "succeeded"), _late_columns(now), waits),
        Section("Next hour", _count(soon, "faint", "no schedule fires", "faint"), _next_columns(now), soon),
    ]


def _count(items: Sequence[Item], role: str, nothing: str, quiet: str) -> Pieces:
    return [(str(len(items)), role)] if items else [(nothing, quiet)]


def _pipeline(item: Item) -> str:
    return item.pipeline


def _run(item: Item) -> str:
    return short(item.run.id) if item.run else ""


def _streak(item: Item) -> Cell:
    streak = item.streak
    if streak is None or streak.times < 2:
        return Cell("")
    return Cell(f"×{streak.times}{'+' if streak.open else ''}", "failed")


def _failing_columns(now: datetime) -> list[Column[Item]]:
    return [
        Column("", lambda i: Cell(symbol("failed"), "failed")),
        Column("PIPELINE", _pipeline, flexible=True),
        Column("RUN", lambda i: Cell(_run(i), "faint"), rank=3),
        Column("WHEN", lambda i: ago(i.when, now), rank=1, right=True),
        Column("TIMES", _streak, rank=1, right=True),
        Column("WHY", lambda i: i.why or "–", rank=2, flexible=True),
    ]


def _against(item: Item, now: datetime) -> Cell:
    took = span(item.when, None, now)
    usual = f" of {duration(item.usual)}" if item.usual is not None else ""
    return Cell.of_parts(((took, "warning" if item.slow else ""), (usual, "faint")))


def _slow(item: Item, now: datetime) -> Cell:
    if not item.slow or not item.usual or item.when is None:
        return Cell("")
    times = (now - item.when).total_seconds() / item.usual
    return Cell(f"! {times:.1f}× as long" if times < 10 else f"! {times:,.0f}× as long", "warning")


def _running_columns(now: datetime) -> list[Column[Item]]:
    return [
        Column("", lambda i: Cell(symbol("running"), "running")),
        Column("PIPELINE", _pipeline, flexible=True),
        Column("RUN", lambda i: Cell(_run(i), "faint"), rank=3),
        Column("STAGES", lambda i: Cell.of_parts(progress_parts(i.run.progress)) if i.run else Cell(""), rank=1),
        Column("TOOK", lambda i: _against(i, now), right=True),
        Column("SLOW", lambda i: _slow(i, now), rank=2),
    ]


def _late_columns(now: datetime) -> list[Column[Item]]:
    def mark(item: Item) -> Cell:
        return Cell(symbol("queued"), "queued") if item.kind == "queued" else Cell("!", "warning")

    return [
        Column("", mark),
        Column("PIPELINE", _pipeline, flexible=True),
        Column(
            "WHAT", lambda i: Cell(f"⏲ {i.schedule.name}" if i.schedule else _run(i), "faint"), rank=2, flexible=True
        ),
        Column("WHEN", lambda i: ago(i.when, now), rank=1, right=True),
        Column("WHY", lambda i: i.why, flexible=True),
    ]


def _next_columns(now: datetime) -> list[Column[Item]]:
    def then(item: Item) -> Cell:
        more = " ".join(clock(t) for t in item.then)
        return Cell(f"then {more}" if more else "", "faint")

    def name(item: Item) -> Cell:
        known = item.schedule is None or item.schedule.name == item.pipeline
        return Cell("" if known or item.schedule is None else f"⏲ {item.schedule.name}", "faint")

    return [
        Column("AT", lambda i: clock(i.when)),
        Column("IN", lambda i: Cell(ago(i.when, now), "faint"), right=True),
        Column("PIPELINE", _pipeline, flexible=True),
        Column("SCHEDULE", name, rank=1, flexible=True),
        Column("THEN", then, rank=2, flexible=True),
    ]


def clock(moment: datetime | None) -> str:
    """`06:03`, here."""
    return f"{moment.astimezone():%H:%M}" if moment else "–"


# what is only read


def side_sections(
    history: History, daemon: DaemonView | None, link: Link, now: datetime, columns: int, height: int
) -> list[Section[Item]]:
    """Health, and the charts in so many columns and `height` lines each."""
    room = max(1, (columns - _LABEL - _MARGIN))
    wide = min(room, 24 * max(1, room // 24))
    by_hour, by_day = hours(history, now), days(history, now)
    note: Pieces = () if history.loaded else [("  loading …", "faint")]
    if history.since is not None:
        note = [(f"  only the newest {MOST_RUNS:,} runs", "warning")]
    return [
        Section("Health", lines=health(daemon, link, columns - _MARGIN)),
        Section("Last 24 hours", [*summary(by_hour), *note], lines=charts(by_hour, wide, height, _hour)),
        Section("Last 7 days", [*summary(by_day), *note], lines=charts(by_day, wide, height, _day)),
    ]


def summary(buckets: Sequence[Bucket]) -> Pieces:
    """`97% of 312 succeeded · 3 failed`."""
    good, bad = sum(b.good for b in buckets), sum(b.bad for b in buckets)
    total = sum(b.total for b in buckets)
    if not good + bad:
        return [(f"{total:,} runs" if total else "no runs", "faint")]
    share = good / (good + bad)
    shown = f"{share:.0%}" if share == 1 or share < 0.99 else f"{min(share, 0.999):.1%}"  # 100% means all of them
    return [
        (shown, _role(share)),
        (f" of {good + bad:,} succeeded", "faint"),
        (f" · {bad:,} failed" if bad else "", "failed"),
    ]


def _role(rate: float | None) -> str:
    return "succeeded" if rate == 1 else "warning" if rate is not None and rate >= 0.8 else "failed"


def charts(buckets: Sequence[Bucket], columns: int, height: int, label: Callable[[Bucket], str]) -> list[Pieces]:
    """The share that succeeded, above how long runs took, above how many there were, above the axis."""
    wide = max(1, columns // len(buckets))
    totals = [float(b.total) if b.known else None for b in buckets]
    peak = max((t for t in totals if t is not None), default=0.0)
    rates = chart([b.rate for b in buckets], height, columns, top=1.0)
    lines: list[Pieces] = []
    for number, text in enumerate(rates):
        parts = [(text[i * wide : (i + 1) * wide], _role(b.rate)) for i, b in enumerate(buckets)]
        lines.append([(_side(number, height, "100%", "good"), "faint"), *parts])
    took = [b.took for b in buckets]
    longest = max((t for t in took if t is not None), default=0.0)
    for values, top, word, role in (
        (took, duration(longest) if longest else "", "took", ""),
        (totals, f"{peak:,.0f}", "runs", "info"),
    ):
        if height > 2:
            lines.append([])
        for number, text in enumerate(chart(values, height, columns)):
            lines.append([(_side(number, height, top, word), "faint"), (text, role)])
    lines.append([(" " * _LABEL + axis(buckets, wide, label), "faint")])
    return lines


def _side(number: int, height: int, top: str, word: str) -> str:
    text = top if number == 0 and height > 1 else word if number == height - 1 else ""
    return f"{text:>{_LABEL - 1}} "


def axis(buckets: Sequence[Bucket], wide: int, label: Callable[[Bucket], str]) -> str:
    """A label under each bucket that has room for one."""
    drawn, free = "", 0
    for i, bucket in enumerate(buckets):
        text = label(bucket)
        if text and i * wide >= free:
            drawn = drawn.ljust(i * wide) + text
            free = len(drawn) + 1
    return drawn


def _hour(bucket: Bucket) -> str:
    start = bucket.start.astimezone()
    return f"{start:%H}h" if start.hour % 6 == 0 else ""


def _day(bucket: Bucket) -> str:
    return f"{bucket.start:%a}"


def health(daemon: DaemonView | None, link: Link, columns: int) -> list[Pieces]:
    """The connection, the daemon, what it runs stages with, and its store."""

    def line(name: str, value: str, role: str = "") -> Pieces:
        return fact(name, value, role, columns=columns)

    lines = [
        line("connection", "⟲ live", "succeeded")
        if link.state == "live"
        else line("connection", f"✖ {link.state}, silent for {int(link.silent_for)}s {link.problem}", "failed")
    ]
    if daemon is None:
        return [*lines, line("daemon", "not known yet", "faint")]
    leads = "leader" if daemon.leader else "! another daemon leads"
    lines.append(line("daemon", f"{daemon.version} · pid {daemon.pid} · {leads} · {daemon.slots} slots"))
    boxed = "sandboxed" if daemon.sandboxed else "! not sandboxed"
    lines.append(line("executor", f"{daemon.executor} · {boxed}", "" if daemon.sandboxed else "warning"))
    lines.append(line("etcd", *store(daemon)))
    lines.append(line("data", daemon.data))
    if daemon.clock:
        lines.append(line("clock", f"! {daemon.clock}", "warning"))
    return lines


def store(daemon: DaemonView) -> tuple[str, str]:
    """`3.6.16 · 180.0 KiB of 4.0 GiB (0%)`, and its role."""
    known = daemon.store
    used, quota = int(known.get("size") or 0), int(known.get("quota") or 0)
    text = f"{known.get('version') or '?'} · {size(used)}"
    if quota:
        text += f" of {size(quota)} ({used / quota:.0%})"
    if known.get("full"):
        return f"✖ full: nothing can be written · {text}", "failed"
    if quota and used >= _FULL * quota:
        return f"! nearly full · {text}", "warning"
    return text, ""
