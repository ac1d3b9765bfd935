"""Ending runs and taking them up again."""

from __future__ import annotations

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import run_names, stage_names
from khantui.cli.session import Session, note
from khantui.errors import Failure


@command("cancel", short_help="Cancel runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…", shell_complete=run_names)
@click.option("--wait", is_flag=True, help="Stay until they have ended.")
@pass_session
def cancel(session: Session, runs: tuple[str, ...], wait: bool) -> int:
    """Cancel each RUN: an id, its last six characters, or a pipeline (its newest run).

    Example: khantui cancel 7f3k2a
    """
    from khantui.cli.waiting import until_ended
    from khantui.render.rows import run_columns

    cancelled = []
    failure: Failure | None = None
    for named in runs:  # one that cannot be cancelled does not keep the others running
        try:
            view = session.client.cancel(session.client.find_run(named).id)
            cancelled.append(until_ended(session.client, view) if wait else view)
        except Failure as error:
            if failure is not None:
                note(f"khantui: {failure.message}")
            failure = error
    if cancelled:
        session.show(cancelled, run_columns(session.now), lambda r: r.id)
    if failure is not None:
        raise failure
    return 0


@command("retry", short_help="Run again what failed, or everything from a stage on.")
@click.argument("named", metavar="RUN", shell_complete=run_names)
@click.option(
    "--from", "stage", default="", metavar="STAGE", shell_complete=stage_names, help="That stage and all after it."
)
@click.option("--only", is_flag=True, help="With --from: that stage, without what follows.")
@click.option("--latest", is_flag=True, help="A new run with the newest version, keeping what is still good.")
@click.option("--wait", is_flag=True, help="Stay until it has ended; exit 1 if it did not succeed.")
@click.option("-f", "--follow", is_flag=True, help="Like --wait, and print the logs as they come.")
@pass_session
def retry(session: Session, named: str, stage: str, only: bool, latest: bool, wait: bool, follow: bool) -> int:
    """Run again what failed in RUN, in the version that it had; or everything from a stage on.

    Example: khantui retry 7f3k2a --from by_region --wait
    """
    from backend.api.wire import RetryRun

    if only and not stage:
        raise click.UsageError("--only says nothing without --from STAGE")
    before = session.client.find_run(named)
    view = session.client.retry(before.id, RetryRun(from_stage=stage, only=only, latest=latest))
    if wait or follow:
        from khantui.cli.run import stay

        return stay(session, view, follow=follow)
    session.show_one(view, lambda r: [r.id], lambda r: r.id)
    return 0
