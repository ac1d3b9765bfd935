"""Why stages of a run ran, or did not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import run_names, stage_names
from khantui.cli.session import Session
from khantui.errors import Failure

if TYPE_CHECKING:
    from backend.api.wire import StageView


@command("why", short_help="Say why stages ran, did not run, or were reused.")
@click.argument("named", metavar="RUN", shell_complete=run_names)
@click.argument("stage", required=False, default="", shell_complete=stage_names)
@pass_session
def why(session: Session, named: str, stage: str) -> None:
    """Say why STAGE of RUN ran (which of the things that it depends on had changed), was reused, or waits; without
    STAGE, of all stages.

    \b
    Example: khantui why weekly-learners
             khantui why 7f3k2a by_region
    """
    from khantui.render.rows import why_columns

    run = session.client.find_run(named)
    stages = run.stages if isinstance(run.stages, tuple) else ()
    meant = [s for s in stages if stage in ("", s.name, s.stage)]
    if not meant:
        known = ", ".join(dict.fromkeys(s.stage for s in stages)) or "none"
        raise Failure(f"run {run.id} has no stage {stage!r}", f"its stages: {known}", code="not-found")
    if len(meant) == 1 and stage:
        session.show_one(meant[0], _lines, lambda s: s.name)
    else:
        session.show(meant, why_columns(), lambda s: s.name)


def _lines(stage: StageView) -> Iterator[str]:
    from khantui.render.rows import stage_cause
    from khantui.render.text import visible

    yield f"{visible(stage.name)} {stage.state}: {visible(stage_cause(stage))}"
