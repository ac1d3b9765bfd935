"""Results of stages that may stand for later ones: looking at them, and forgetting them."""

from __future__ import annotations

import click

from khantui.cli.command import command, group, pass_session
from khantui.cli.complete import pipeline_names
from khantui.cli.session import Session


@group("cache", short_help="List or forget results that may stand for later ones.")
@click.pass_context
@pass_session
def cache(session: Session, ctx: click.Context) -> None:
    """Look at the results of stages with "cache": true, or have them forgotten.

    \b
    Example: khantui cache list weekly-learners
             khantui cache clear weekly-learners by_region
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command("list", short_help="List a pipeline's results that may stand for later ones.")
@click.argument("name", metavar="PIPELINE", shell_complete=pipeline_names)
@click.argument("stage", required=False, default="")
@pass_session
def list_(session: Session, name: str, stage: str) -> None:
    """List the results of PIPELINE, or of one STAGE, that may stand for later ones, and the runs that made them.

    Example: khantui cache list weekly-learners
    """
    from khantui.render.rows import result_columns

    found = session.client.results(name, stage=stage)
    session.show(found, result_columns(session.now), lambda r: r.fingerprint, empty="there are none")


@command("clear", short_help="Forget results, so that the next run makes them anew.")
@click.argument("name", metavar="PIPELINE", shell_complete=pipeline_names)
@click.argument("stage", required=False, default="")
@pass_session
def clear(session: Session, name: str, stage: str) -> None:
    """Forget the results of PIPELINE, or of one STAGE: the next run makes them anew. Runs keep what they have.

    \b
    Example: khantui cache clear weekly-learners
             khantui cache clear weekly-learners by_region
    """
    cleared = session.client.clear_results(name, stage)
    session.show_one(cleared, lambda c: [f"{c.results} results are forgotten"], lambda c: str(c.results))


cache.add_command(list_)
cache.add_command(clear)
