"""Logs: of one stage, of a run in one place, or what is found in those of all runs of a pipeline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import pipeline_names, run_names, stage_names
from khantui.cli.session import Session, encode, note
from khantui.errors import Failure, Misuse
from khantui.render.status import faint, paint
from khantui.render.text import colours_only, pad, plain, visible

if TYPE_CHECKING:
    from backend.api.wire import LogHit, LogHits, LogLineView, MergedLineView, RunView, StageView

_PAGE = 1000  # lines or matches that are asked for at once


@dataclass(frozen=True)
class Line:
    """A line, and whose it is. A neighbour of a match is shown paler."""

    stage: str
    attempt: int
    number: int
    offset: int
    time: datetime | None
    text: str
    error: bool
    run: str = ""  # where lines of several runs are shown
    neighbour: bool = False


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    stages: tuple[str, ...]
    attempts: str
    tail: int | None
    after: datetime | None
    search: dict[str, Any]  # parameters of a search; empty: all lines


@command("logs", short_help="Print the logs of a run, or search those of a pipeline.")
@click.argument("named", metavar="[RUN]", required=False, shell_complete=run_names)
@click.argument("stages", metavar="[STAGE]...", nargs=-1, shell_complete=stage_names)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--grep", metavar="RE", help="Only lines that match, found by the daemon.")
@click.option("--errors", is_flag=True, help="Only lines that speak of an error.")
@click.option("-i", "--ignore-case", is_flag=True, help="With --grep: whatever the case.")
@click.option("-C", "--context", "neighbours", type=click.IntRange(0, 50), default=0, help="Lines around each match.")
@click.option("--pipeline", metavar="NAME", shell_complete=pipeline_names, help="In all runs of it, the newest first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N matches; 0: all.")
@click.option("--since", metavar="SPAN", help="Only what was written in the last 90s, 5m, 2h, 1d.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="That attempt, not the newest.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("-t", "--timestamps", is_flag=True, help="With the time of each line.")
@click.option("--all", "every", is_flag=True, help="All attempts, not only the newest.")
@pass_session
def logs(
    session: Session,
    named: str | None,
    stages: tuple[str, ...],
    follow: bool,
    grep: str | None,
    errors: bool,
    ignore_case: bool,
    neighbours: int,
    pipeline: str | None,
    limit: int | None,
    since: str | None,
    attempt: int | None,
    tail: int | None,
    timestamps: bool,
    every: bool,
) -> None:
    """Print the log of a STAGE of RUN; or of several, or of all, merged by time, with the stage before each line.

    With --pipeline, what --grep or --errors finds in all its runs (in these STAGES).

    \b
    Example: khantui logs weekly-learners -f
             khantui logs --pipeline weekly-learners --grep 'denied|quota' -C 2
    """
    _check(grep, errors, follow, every, attempt)
    search: dict[str, Any] = {}
    if grep is not None or errors:
        search = {"regex": grep, "errors": errors or None, "ignore_case": ignore_case or None, "context": neighbours}
    attempts = str(attempt) if attempt else "all" if every or follow or pipeline else "newest"
    wanted = Wanted(stages, attempts, tail, _since(session, since), search)
    if pipeline is not None:
        if not search:
            raise click.UsageError("--pipeline wants --grep or --errors")
        wanted = replace(wanted, stages=(*([named] if named else []), *stages))
        hits = _hits(session, pipeline, None, wanted, 100 if limit is None else limit)
        _print(session, _cut(hits, wanted), timestamps)
        return
    if named is None:
        raise click.UsageError("which RUN? or --pipeline NAME with --grep")
    run = session.client.find_run(named)
    chosen = _stages(run, stages)
    as_written = not (search or follow or since or tail is not None or timestamps or every)
    if len(chosen) == 1 and stages and as_written and session.for_people and not sys.stdout.isatty():
        _raw(session, run, chosen[0], attempt)
        return
    if follow:
        found = _followed(session, run, wanted)
    else:
        found = _hits(session, None, run, wanted, limit or 0) if search else _pages(session, run, wanted)
    if not _print(session, _cut(found, wanted), timestamps, _column(stages, chosen)) and len(chosen) == 1:
        _nothing(session, chosen[0], attempt)


def _check(grep: str | None, errors: bool, follow: bool, every: bool, attempt: int | None) -> None:
    """Raises UsageError for what does not go together."""
    if (grep is not None or errors) and follow:
        raise click.UsageError("--grep and --errors look through what is there: they do not go with --follow")
    if grep is not None and errors:
        raise click.UsageError("--grep and --errors: which one?")
    if every and attempt:
        raise click.UsageError("--all and --attempt: which one?")


def _since(session: Session, text: str | None) -> datetime | None:
    from khantui.render.moments import parse_span

    if text is None:
        return None
    try:
        return session.now - parse_span(text)
    except ValueError:
        raise Misuse(f"{text!r} is no span of time", "write 90s, 5m, 2h or 1d") from None


def _stages(run: RunView, named: tuple[str, ...]) -> list[StageView]:
    """The stage instances meant: those named, all instances of a stage with `each`, or all. Raises Failure."""
    every = list(run.stages) if isinstance(run.stages, tuple) else []
    chosen: list[StageView] = []
    for name in named:
        meant = [s for s in every if s.name == name] or [s for s in every if s.stage == name]
        if not meant:
            from difflib import get_close_matches

            names = [s.name for s in every]
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"its stages: {', '.join(names)}"
            raise Failure(f"{run.pipeline} has no stage {name!r}", hint)
        chosen += meant
    return chosen if named else every


def _column(named: tuple[str, ...], stages: list[StageView]) -> int:
    """How wide the names of stages are; 0 where there is but one and it was named."""
    if named and len(stages) == 1:
        return 0
    return max((len(s.name) for s in stages), default=0)


def _raw(session: Session, run: RunView, stage: StageView, attempt: int | None) -> None:
    if stage.reused_from and not stage.attempts:  # its log is that of the run that made what it has
        run = session.client.run(stage.reused_from)
        stage = _stages(run, (stage.name,))[0]
    if not any(attempt in (None, a.number) for a in stage.attempts):
        _nothing(session, stage, attempt)
        return
    for part in session.client.raw_log(run.id, stage.name, attempt=attempt or stage.attempts[-1].number):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _nothing(session: Session, stage: StageView, attempt: int | None) -> None:
    if attempt is not None and stage.attempts and attempt > len(stage.attempts):
        raise Failure(f"{stage.name} has no attempt {attempt}", f"it has {len(stage.attempts)}")
    if session.for_people and not stage.attempts:
        note(f"{stage.name} has not run yet: {stage.message or stage.state}")


def _cut(lines: Iterator[Line], wanted: Wanted) -> Iterator[Line]:
    """Those that are new enough, and of matches the last ones."""
    fresh = (line for line in lines if wanted.after is None or line.time is None or line.time >= wanted.after)
    if wanted.search and wanted.tail is not None:
        from collections import deque

        yield from deque(fresh, maxlen=wanted.tail)
    else:
        yield from fresh


def _pages(session: Session, run: RunView, wanted: Wanted) -> Iterator[Line]:
    """The lines of some logs, page by page."""
    which: dict[str, Any] = {"stage": wanted.stages, "attempts": wanted.attempts}
    start = 1
    if wanted.tail is not None:
        if wanted.tail == 0:
            return
        start = max(1, session.client.run_log(run.id, limit=0, **which).total_lines - wanted.tail + 1)
    elif wanted.after is not None:
        page = session.client.run_log(run.id, since=wanted.after.isoformat(), limit=1, **which)
        start = page.lines[0].number if page.lines else page.total_lines + 1
    while True:
        page = session.client.run_log(run.id, line=start, limit=_PAGE, **which)
        yield from map(_merged, page.lines)
        if not page.lines or page.lines[-1].number >= page.total_lines:
            return
        start = page.lines[-1].number + 1


def _followed(session: Session, run: RunView, wanted: Wanted) -> Iterator[Line]:
    from khantui.api.stream import follow_logs

    which = {"stage": wanted.stages, "attempts": wanted.attempts}
    yield from map(_merged, follow_logs(session.client, run.id, tail=wanted.tail, **which))


def _hits(session: Session, pipeline: str | None, run: RunView | None, wanted: Wanted, limit: int) -> Iterator[Line]:
    """Lines that match, with their neighbours, none twice; at most `limit` matches, 0: all."""
    shown: dict[tuple[str, str, int], int] = {}
    damaged = set[str]()
    cursor, left = None, limit
    while True:
        query: dict[str, Any] = {
            "stage": wanted.stages,
            "attempts": wanted.attempts,
            "limit": min(left, _PAGE) if limit else _PAGE,
            "cursor": cursor,
        }
        found: LogHits
        if run is not None:
            found = session.client.search_run(run.id, **wanted.search, **query)
        else:
            found = session.client.search_pipeline(str(pipeline), **wanted.search, **query)
        for said in found.damaged:
            if said not in damaged:
                damaged.add(said)
                note(visible(said))
        for hit in found.hits:
            log = (hit.run, hit.stage, hit.attempt)
            around = [*((n, True) for n in hit.before), (hit.line, False), *((n, True) for n in hit.after)]
            for line, neighbour in around:
                if line.number > shown.get(log, 0):
                    shown[log] = line.number
                    yield _found(hit, line, neighbour, several=run is None)
        cursor, left = found.cursor, left - len(found.hits)
        if cursor is None:
            return
        if limit and left <= 0:
            if run is None and session.for_people:
                note(f"there may be more than {limit}, in older runs: --limit 0 shows all")
            return


def _merged(line: MergedLineView) -> Line:
    return Line(line.stage, line.attempt, line.line, line.offset, line.time, line.text, line.error)


def _found(hit: LogHit, line: LogLineView, neighbour: bool, *, several: bool) -> Line:
    run = hit.run if several else ""
    return Line(hit.stage, hit.attempt, line.number, line.offset, line.time, line.text, line.error, run, neighbour)


def _object(line: Line) -> dict[str, Any]:
    return {
        **({"run": line.run} if line.run else {}),
        "stage": line.stage,
        "attempt": line.attempt,
        "number": line.number,
        "offset": line.offset,
        "time": line.time,
        "text": line.text,
        "error": line.error,
    }


def _print(session: Session, found: Iterator[Line], times: bool, column: int = 0) -> bool:
    """Print them; whether there were any."""
    if session.output == "json":
        click.echo(encode([_object(line) for line in found], indent=2))
        return True
    if session.output == "name":
        for name in dict.fromkeys(line.run or line.stage for line in found):
            click.echo(name)
        return True
    said = False
    for line in found:
        said = True
        if session.output == "jsonl":
            click.echo(encode(_object(line)))
        else:
            click.echo(_text(session, line, column, times), color=session.colour)
        sys.stdout.flush()
    return said


def _text(session: Session, line: Line, column: int, times: bool) -> str:
    """A line for people: colours on a terminal, nothing that moves its cursor."""
    text = colours_only(line.text) if session.colour else plain(line.text)
    if line.neighbour:
        text = faint(plain(line.text), session.colour)
    elif line.error and session.colour and "\x1b" not in text:
        text = paint(text, "failed", True)
    moment = f"{line.time:%Y-%m-%d %H:%M:%S} " if times and line.time else ""
    prefix = f"{pad(visible(line.stage), column)} │ " if column else ""
    if line.run:
        prefix = f"{line.run[-6:]} {visible(line.stage)}:{line.number} │ "
    return f"{prefix}{faint(moment, session.colour)}{text}"
