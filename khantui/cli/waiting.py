"""Staying with a run until it has ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from khantui.api.stream import follow_logs, watch_run
from khantui.cli.session import Session, note, wants_colour
from khantui.render.moments import span
from khantui.render.rows import stage_reason
from khantui.render.status import label, progress
from khantui.render.text import colours_only, visible

if TYPE_CHECKING:
    from backend.api.wire import RunView, StageView
    from khantui.api.client import Client


def until_ended(client: Client, run: RunView) -> RunView:
    """The run as it is when it has ended."""
    for view in watch_run(client, run.id):
        run = view
    return run


def wait_for_run(session: Session, run: RunView) -> RunView:
    """Wait, drawing the stages on a terminal, else with a line on stderr for each change."""
    if sys.stderr.isatty() and session.for_people:
        from khantui.cli.live import draw_run

        return draw_run(session, run)
    colour = wants_colour(sys.stderr.isatty())
    said: dict[str, str] = {}
    for view in watch_run(session.client, run.id):
        run = view
        for stage in view.stages if isinstance(view.stages, tuple) else ():
            state = f"{stage.state}/{len(stage.attempts)}"
            if said.get(stage.name, "waiting/0") != state:
                said[stage.name] = state
                note(_stage_line(session, stage, colour))
    return run


def _stage_line(session: Session, stage: StageView, colour: bool) -> str:
    took = f" after {span(stage.started, stage.ended, session.now)}" if stage.ended and stage.started else ""
    reason = stage_reason(stage)
    return f"{label(stage.state, colour)} {visible(stage.name)}{took}{': ' + visible(reason) if reason else ''}"


def follow_run(session: Session, run: RunView) -> RunView:
    """Wait, printing all stages' logs as they come, each line with its stage's name."""
    machine = not session.for_people  # then stdout is the run's JSON alone
    known = session.client.run(run.id).stages
    width = max((len(s.name) for s in known), default=0) if isinstance(known, tuple) else 0
    for line in follow_logs(session.client, run.id):
        click.echo(f"{visible(line.stage):<{width}} │ {colours_only(line.text)}", err=machine)
    final = session.client.run(run.id)
    note(f"{label(final.state, wants_colour(sys.stderr.isatty()))} {progress(final.progress)}")
    return final
