"""One run: what its stages do, why it failed, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import run_names
from khantui.cli.session import Session
from khantui.errors import Failure
from khantui.render.moments import ago, span, stamp
from khantui.render.rows import short, stage_columns, started_by
from khantui.render.status import faint, label, paint
from khantui.render.table import table
from khantui.render.text import crop, plain, visible

if TYPE_CHECKING:
    from backend.api.wire import LogPage, RunView, StageView

_LINES = 6  # of a failed stage's log


@command("status", short_help="Show a run: its stages, what waits for what, and why it failed.")
@click.argument("named", metavar="RUN", shell_complete=run_names)
@pass_session
def status(session: Session, named: str) -> None:
    """Show RUN: an id, its last six characters, or a pipeline (its newest run).

    Example: khantui status weekly-learners
    """
    session.show_one(session.client.find_run(named), lambda r: run_lines(session, r), lambda r: r.id)


def run_lines(session: Session, run: RunView) -> Iterator[str]:
    """A run for people."""
    colour = session.colour
    yield " · ".join(
        (
            visible(run.pipeline),
            f"run {paint(short(run.id), run.state, colour)}",
            f"v{run.version}",
            f"logical {stamp(run.logical_time)}{'' if run.zone == 'UTC' else ' ' + visible(run.zone)}",
            visible(started_by(run)),
        )
    )
    yield f"{label(run.state, colour)}{_when(session, run)}" + (f": {visible(run.message)}" if run.message else "")
    if run.ending and not run.ended:
        yield f"being ended: {visible(run.ending)}"
    if run.parameters:
        yield "parameters " + visible(", ".join(f"{k}={v}" for k, v in run.parameters.items()))
    stages = run.stages if isinstance(run.stages, tuple) else ()
    if stages:
        yield ""
        yield from table(stages, stage_columns(session.now), space=session.space, colour=colour)
    for stage in stages:
        if stage.state in ("failed", "retrying"):
            yield from _error_lines(session, run, stage)
    hints = list(_hints(run, stages))
    if hints:
        yield ""
        yield from (faint(hint, colour) for hint in hints)


def _when(session: Session, run: RunView) -> str:
    if run.started is None:
        return f" for {span(run.created, run.ended, session.now)}"
    took = span(run.started, run.ended, session.now)
    return f" after {took}, {ago(run.ended, session.now)}" if run.ended else f" for {took}"


def first_errors(session: Session, run: str, stage: str, lines: int = _LINES) -> LogPage | None:
    """The part of a stage's log where the first error is, or its end; None if there is no log to be had."""
    try:
        last = session.client.log(run, stage, tail=lines)
        if last.first_error is None or last.total_lines <= lines:
            return last
        return session.client.log(run, stage, line=max(1, last.first_error - 1), limit=lines)
    except Failure:
        return None


def first_error(session: Session, run: RunView, stage: StageView) -> str:
    """The first error line of a failed stage's log, or what is known of it otherwise."""
    page = first_errors(session, run.id, stage.name)
    for line in page.lines if page else ():
        if page and line.number == page.first_error:
            return plain(line.text).strip()
    return visible(stage.message or (stage.attempts[-1].message if stage.attempts else "failed"))


def _error_lines(session: Session, run: RunView, stage: StageView) -> Iterator[str]:
    page = first_errors(session, run.id, stage.name)
    if page is None or not page.lines:
        return
    yield ""
    where = "at its first error" if page.first_error else "its end"
    yield paint(
        f"log of {visible(stage.name)}, attempt {page.attempt}, {where}, {page.total_lines} lines:",
        "failed",
        session.colour,
    )
    for line in page.lines:
        mark = "▶" if line.number == page.first_error else " "
        text = f"  {line.number:>5} {mark} {plain(line.text)}"
        yield crop(text, session.space) if session.space else text


def _hints(run: RunView, stages: tuple[StageView, ...]) -> Iterator[str]:
    name = short(run.id)
    failed = next((s for s in stages if s.state == "failed"), None)
    if failed is not None:
        yield f"whole log   khantui logs {name} {visible(failed.name)}"
    if run.state in ("failed", "cancelled"):
        yield f"try again   khantui retry {name}"
        if failed is not None:
            yield f"after a fix khantui retry {name} --latest"
    elif run.state == "running":
        yield f"follow      khantui logs {name} -f"
        yield f"end it      khantui cancel {name}"
    elif run.state == "succeeded":
        yield f"results     khantui artifacts {name}"
