"""Logs: of one stage, or of a whole run in one place."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import run_names, stage_names
from khantui.cli.session import Session, encode, note
from khantui.errors import Failure, Misuse
from khantui.render.status import faint
from khantui.render.text import colours_only, pad, plain, visible

if TYPE_CHECKING:
    from backend.api.wire import LogLineView, RunView, StageView

_PAGE = 1000  # lines that are asked for at once
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """A line, and whose it is. A neighbour of a match is shown paler."""

    stage: str
    attempt: int
    line: LogLineView
    neighbour: bool = False


@command("logs", short_help="Print the logs of a run, of one stage or of all.")
@click.argument("named", metavar="RUN", shell_complete=run_names)
@click.argument("stage", required=False, shell_complete=stage_names)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--grep", metavar="RE", help="Only lines that match, found by the daemon.")
@click.option(
    "-C", "--context", "neighbours", type=click.IntRange(0, 50), default=0, help="With --grep: lines around each."
)
@click.option("--since", metavar="SPAN", help="Only what was written in the last 90s, 5m, 2h, 1d.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="That attempt, not the newest.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each.")
@click.option("-t", "--timestamps", is_flag=True, help="With the time of each line.")
@click.option("--all", "every", is_flag=True, help="All attempts, not only the newest.")
@pass_session
def logs(
    session: Session,
    named: str,
    stage: str | None,
    follow: bool,
    grep: str | None,
    neighbours: int,
    since: str | None,
    attempt: int | None,
    tail: int | None,
    timestamps: bool,
    every: bool,
) -> None:
    """Print the log of STAGE of RUN, or of all its stages, merged by time, with the stage before each line.

    Example: khantui logs weekly-learners -f
    """
    if grep is not None and follow:
        raise click.UsageError("--grep looks through what is there: it does not go with --follow")
    if every and attempt:
        raise click.UsageError("--all and --attempt: which one?")
    after = _since(session, since)
    run = session.client.find_run(named)
    chosen = _stages(run, stage)
    if follow:
        found = _followed(session, run, chosen if stage else (), tail, after)
    elif _plain_bytes(session, stage, grep, since, tail, timestamps, every):
        _raw(session, run, chosen[0], attempt)
        return
    else:
        attempts = [(s, n) for s in chosen for n in _attempts(s, attempt, every)]
        merged = [_lines(session, run, s, n, grep, neighbours, tail, after) for s, n in attempts]
        found = heapq.merge(*merged, key=lambda line: line.line.time or _EPOCH)
    _print(session, run, chosen, found, timestamps, prefixed=stage is None or len(chosen) > 1)


def _since(session: Session, text: str | None) -> datetime | None:
    from khantui.render.moments import parse_span

    if text is None:
        return None
    try:
        return session.now - parse_span(text)
    except ValueError:
        raise Misuse(f"{text!r} is no span of time", "write 90s, 5m, 2h or 1d") from None


def _stages(run: RunView, named: str | None) -> list[StageView]:
    """The stage instances meant: one, all instances of a stage with `each`, or all. Raises Failure."""
    stages = run.stages if isinstance(run.stages, tuple) else ()
    chosen = [s for s in stages if named is None or named == s.name] or [s for s in stages if named == s.stage]
    if not chosen:
        from difflib import get_close_matches

        names = [s.name for s in stages]
        near = get_close_matches(named or "", names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"its stages: {', '.join(names)}"
        raise Failure(f"{run.pipeline} has no stage {named!r}", hint)
    return chosen


def _attempts(stage: StageView, wanted: int | None, every: bool) -> list[int]:
    numbers = [a.number for a in stage.attempts]
    if wanted is not None:
        return [wanted] if wanted in numbers else []
    return numbers if every else numbers[-1:]


def _plain_bytes(
    session: Session, stage: str | None, grep: str | None, since: str | None, tail: int | None, times: bool, every: bool
) -> bool:
    """Whether the log is wanted just as it is."""
    changed = grep is not None or since is not None or tail is not None or times or every
    return stage is not None and session.for_people and not changed and not sys.stdout.isatty()


def _raw(session: Session, run: RunView, stage: StageView, attempt: int | None) -> None:
    numbers = _attempts(stage, attempt, False)
    if not numbers:
        _nothing(stage, attempt)
        return
    for part in session.client.raw_log(run.id, stage.name, attempt=numbers[0]):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _nothing(stage: StageView, attempt: int | None) -> None:
    if attempt is not None and stage.attempts:
        raise Failure(f"{stage.name} has no attempt {attempt}", f"it has {len(stage.attempts)}")
    note(f"{stage.name} has not run yet: {stage.message or stage.state}")


def _lines(
    session: Session,
    run: RunView,
    stage: StageView,
    attempt: int,
    grep: str | None,
    neighbours: int,
    tail: int | None,
    after: datetime | None,
) -> Iterator[Line]:
    """The lines of one attempt that are wanted, page by page."""
    source = (
        _matches(session, run, stage, attempt, grep, neighbours)
        if grep is not None
        else _pages(session, run, stage, attempt, tail)
    )
    wanted = (line for line in source if after is None or line.line.time is None or line.line.time >= after)
    if grep is not None and tail is not None:
        from collections import deque

        yield from deque(wanted, maxlen=tail)
    else:
        yield from wanted


def _pages(session: Session, run: RunView, stage: StageView, attempt: int, tail: int | None) -> Iterator[Line]:
    start = 1
    if tail is not None:
        page = session.client.log(run.id, stage.name, attempt=attempt, tail=1)
        start = max(1, page.total_lines - tail + 1)
        if tail == 0:
            return
    while True:
        page = session.client.log(run.id, stage.name, attempt=attempt, line=start, limit=_PAGE)
        for line in page.lines:
            yield Line(stage.name, attempt, line)
        if not page.lines or page.lines[-1].number >= page.total_lines:
            return
        start = page.lines[-1].number + 1


def _matches(
    session: Session, run: RunView, stage: StageView, attempt: int, grep: str, neighbours: int
) -> Iterator[Line]:
    """Lines that match, with their neighbours, none twice."""
    start: int | None = 1
    shown = 0
    while start is not None:
        page = session.client.search_log(
            run.id, stage.name, attempt=attempt, regex=grep, context=neighbours, line=start
        )
        for match in page.matches:
            around = [*((n, True) for n in match.before), (match.line, False), *((n, True) for n in match.after)]
            for line, neighbour in around:
                if line.number > shown:
                    shown = line.number
                    yield Line(stage.name, attempt, line, neighbour)
        start = page.next_line


def _followed(
    session: Session, run: RunView, stages: list[StageView] | tuple[()], tail: int | None, after: datetime | None
) -> Iterator[Line]:
    from khantui.api.stream import follow_run_logs

    names = [s.name for s in stages]
    for event in follow_run_logs(session.client, run.id, names, tail=tail):
        if event.line is not None and (after is None or event.line.time is None or event.line.time >= after):
            yield Line(event.stage, event.attempt, event.line)


def _object(line: Line) -> dict[str, Any]:
    view = line.line
    return {
        "stage": line.stage,
        "attempt": line.attempt,
        "number": view.number,
        "offset": view.offset,
        "time": view.time,
        "text": view.text,
    }


def _print(
    session: Session, run: RunView, stages: list[StageView], found: Iterator[Line], times: bool, prefixed: bool
) -> None:
    if session.output == "json":
        click.echo(encode([_object(line) for line in found], indent=2))
        return
    if session.output == "name":
        for name in dict.fromkeys(line.stage for line in found):
            click.echo(name)
        return
    column = max((len(s.name) for s in stages), default=0) if prefixed else 0
    said = False
    for line in found:
        said = True
        if session.output == "jsonl":
            click.echo(encode(_object(line)))
        else:
            click.echo(_text(session, line, column, times), color=session.colour)
        sys.stdout.flush()
    if not said and session.for_people and len(stages) == 1:
        _nothing(stages[0], None) if not stages[0].attempts else None


def _text(session: Session, line: Line, column: int, times: bool) -> str:
    """A line for people: colours on a terminal, nothing that moves its cursor."""
    text = colours_only(line.line.text) if session.colour else plain(line.line.text)
    if line.neighbour:
        text = faint(plain(line.line.text), session.colour)
    moment = f"{line.line.time:%Y-%m-%d %H:%M:%S} " if times and line.line.time else ""
    prefix = f"{pad(visible(line.stage), column)} │ " if column else ""
    return f"{prefix}{faint(moment, session.colour)}{text}"
