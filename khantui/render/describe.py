"""A run or a stage in full, and why something waits: lines of (text, state) pieces. Pure."""

from __future__ import annotations

from datetime import datetime

from backend.api.wire import RunView, StageView
from khantui.render.moments import size, span, stamp
from khantui.render.rows import short, stage_reason, started_by
from khantui.render.status import symbol
from khantui.render.text import visible

Pieces = list[tuple[str, str]]


def describe_run(run: RunView, now: datetime) -> list[Pieces]:
    """What a run is and was given, and each of its stages."""
    lines: list[Pieces] = [
        *_facts(
            [
                ("run", run.id),
                ("pipeline", f"{run.pipeline} v{run.version}"),
                ("state", f"{symbol(run.state)} {run.state}{' · ' + run.message if run.message else ''}"),
                ("logical time", f"{stamp(run.logical_time)} ({run.zone})"),
                ("created", _when(run.created)),
                ("started", _when(run.started)),
                ("ended", _when(run.ended)),
                ("took", span(run.started, run.ended, now)),
                ("started by", started_by(run)),
                ("retried", f"{run.round - 1} times" if run.round > 1 else ""),
                ("asked", ", ".join(run.asked) if isinstance(run.asked, tuple) else ""),
            ]
        )
    ]
    lines += _mapping("parameters", run.parameters)
    lines += _mapping("environment", run.environment if isinstance(run.environment, dict) else {})
    for stage in run.stages if isinstance(run.stages, tuple) else ():
        lines += [[("", "")], *describe_stage(stage, now)]
    return [*lines, *_events(run)]


def _events(run: RunView) -> list[Pieces]:
    """What happened when, in order."""
    found: list[tuple[datetime, str, str]] = []

    def note(moment: datetime | None, what: str, role: str = "") -> None:
        if moment is not None:
            found.append((moment, what, role))

    note(run.created, f"created, started by {started_by(run)}")
    for stage in run.stages if isinstance(run.stages, tuple) else ():
        for attempt in stage.attempts:
            which = f"{stage.name}, attempt {attempt.number}" if len(stage.attempts) > 1 else stage.name
            note(attempt.started, f"{which} begins")
            said = f": {attempt.message}" if attempt.message else ""
            note(attempt.ended, f"{which} {attempt.state}{said}", str(attempt.state))
        note(stage.retry_at if stage.state == "retrying" else None, f"{stage.name} is tried again", "retrying")
    note(run.ended, f"the run {run.state}", str(run.state))
    if not found:
        return []
    lines = [[(f"    {_when(moment):<19}  ", "faint"), (visible(what), role)] for moment, what, role in sorted(found)]
    return [[("", "")], [("events", "strong")], *lines]


def describe_stage(stage: StageView, now: datetime) -> list[Pieces]:
    """What a stage is, reads, wrote, and each attempt at it."""
    head: Pieces = [
        (f"{symbol(stage.state)} ", str(stage.state)),
        (visible(stage.name), "strong"),
        (f"  {stage.state}", str(stage.state)),
        (f"  {visible(stage_reason(stage))}", ""),
    ]
    lines = [head]
    lines += _facts(
        [
            ("image", stage.image),
            ("needs", ", ".join(stage.needs)),
            ("variables", ", ".join(f"{k}={v}" for k, v in stage.each.items())),
            ("ready", _when(stage.ready)),
            ("waited", span(stage.ready, stage.started or stage.ended, now) if stage.ready else ""),
            ("took", span(stage.started, stage.ended, now) if stage.started else ""),
            ("next try", _when(stage.retry_at)),
            ("why", stage.reason),
            ("reused from", short(stage.reused_from) if stage.reused_from and not stage.reason else ""),
        ],
        indent=4,
    )
    for name, digest in stage.inputs.items():
        lines.append([("    reads ", "faint"), (visible(name), ""), (f"  sha256 {digest[:12]}", "faint")])
    for name, record in stage.outputs.items():
        files = f", {record.files} files" if record.kind == "folder" else ""
        lines.append(
            [
                ("    wrote ", "faint"),
                (visible(name), ""),
                (f"  {size(record.bytes)}{files}  sha256 {record.sha256[:12]}", "faint"),
                (f"  {visible(record.uri)}" if record.uri else "", ""),
            ]
        )
    for attempt in stage.attempts:
        code = f"  exit {attempt.exit_code}" if attempt.exit_code is not None else ""
        said = f"  {visible(attempt.message)}" if attempt.message and attempt.message != code.strip() else ""
        lines.append(
            [
                (f"    attempt {attempt.number} ", "faint"),
                (f"{symbol(attempt.state)} {attempt.state}", attempt.state),
                (f"  {_when(attempt.started)}  {span(attempt.started, attempt.ended, now)}", ""),
                (code + said, "failed" if attempt.state == "failed" else ""),
            ]
        )
    return lines


def explain(run: RunView, stage: StageView | None, now: datetime) -> list[Pieces]:
    """Why a run or a stage is where it is: one tree, down to what everything waits for, and the key that helps."""
    stages = {s.name: s for s in run.stages} if isinstance(run.stages, tuple) else {}
    lines: list[Pieces] = []
    if run.state == "queued":
        lines.append([("◌ ", "queued"), (f"the run is queued: {visible(run.message) or 'it starts in a moment'}", "")])
    if isinstance(run.asked, tuple) and run.asked:
        lines.append([("… ", "waiting"), (f"asked for, not taken up yet: {', '.join(run.asked)}", "")])
    wanted = [stage] if stage is not None else [s for s in stages.values() if s.state not in ("succeeded", "reused")]
    told: set[str] = set()
    for each in wanted:
        if each.name not in told:
            lines += _cause(each, stages, 0, told)
    if stage is not None and stage.reason:
        lines.append([("  ", ""), (visible(stage.reason), "faint")])
    elif stage is None:
        lines += [
            [("✔ ", "reused"), (f"{visible(s.name)}  {visible(s.reason)}", "")]
            for s in stages.values()
            if s.reused_from
        ]
    if not lines:
        return [[("✔ ", "succeeded"), ("nothing waits, and nothing failed", "")]]
    failed = [s for s in stages.values() if s.state == "failed"]
    lines.append([("", "")])
    if failed:
        lines.append([("r", "strong"), (" retries what failed; ", ""), ("R", "strong"), (" from the chosen stage", "")])
    if any(s.state == "retrying" for s in stages.values()):
        lines.append([("a retry comes by itself at the time above", "faint")])
    if run.ended is None:
        lines.append([("ctrl-d", "strong"), (" cancels the run", "")])
    return lines


def _cause(stage: StageView, stages: dict[str, StageView], depth: int, told: set[str]) -> list[Pieces]:
    indent = "  " * depth + ("└ " if depth else "")
    reason = stage_reason(stage) or str(stage.state)
    line: Pieces = [
        (indent, "faint"),
        (f"{symbol(stage.state)} ", str(stage.state)),
        (visible(stage.name), "strong"),
        (f"  {visible(reason)}", ""),
    ]
    if stage.name in told:
        return [[*line, ("  (above)", "faint")]]
    told.add(stage.name)
    lines = [line]
    if stage.state in ("waiting", "skipped") and depth < 12:
        blockers = [stages[n] for n in stage.needs if n in stages and stages[n].state not in ("succeeded", "reused")]
        for need in blockers[:8]:
            lines += _cause(need, stages, depth + 1, told)
        if len(blockers) > 8:
            lines.append([("  " * depth + f"  … and {len(blockers) - 8} more", "faint")])
    return lines


def _facts(pairs: list[tuple[str, str]], indent: int = 0) -> list[Pieces]:
    return [[(" " * indent + f"{name:<13} ", "faint"), (visible(value), "")] for name, value in pairs if value]


def _mapping(title: str, values: dict[str, str]) -> list[Pieces]:
    if not values:
        return []
    widest = min(30, max(len(k) for k in values))
    return [
        [("", "")],
        [(title, "strong")],
        *([(f"    {visible(k):<{widest}}  ", "faint"), (visible(v), "")] for k, v in values.items()),
    ]


def _when(moment: datetime | None) -> str:
    return stamp(moment.replace(microsecond=0)) if moment else ""
