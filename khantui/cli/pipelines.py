"""What pipelines there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import pipeline_names
from khantui.cli.session import Session

if TYPE_CHECKING:
    from backend.api.wire import PipelineView


@command("pipelines", short_help="List the pipelines.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.option("-l", "--label", metavar="K=V", multiple=True, help="Only those with this label.")
@click.argument("text", required=False, default="")
@pass_session
def pipelines(session: Session, text: str, label: tuple[str, ...], limit: int | None) -> None:
    """List the pipelines: those whose name contains TEXT, or all.

    Example: khantui pipelines -l team=growth
    """
    from khantui.render.rows import pipeline_columns

    wanted = dict(_label(pair) for pair in label)
    found = (
        p for p in session.client.pipelines() if text in p.name and all(p.labels.get(k) == v for k, v in wanted.items())
    )
    session.show(
        _first(found, limit),
        pipeline_columns(session.now),
        lambda p: p.name,
        empty="there are no such pipelines: `khantui init` writes one, `khantui apply` stores it",
    )


def _label(pair: str) -> tuple[str, str]:
    key, sign, value = pair.partition("=")
    if not sign:
        raise click.BadParameter(f"{pair!r} is not of the form key=value", param_hint="-l")
    return key, value


def _first(found: Iterator[PipelineView], limit: int | None) -> Iterator[PipelineView]:
    from itertools import islice

    return islice(found, limit)


@command("show", short_help="Show a pipeline: its stages, schedules and newest runs.")
@click.argument("name", shell_complete=pipeline_names)
@click.option("--version", "number", type=click.IntRange(min=1), help="That version, not the current one.")
@click.option("--document", is_flag=True, help="Print the document as it was applied, nothing else.")
@pass_session
def show(session: Session, name: str, number: int | None, document: bool) -> None:
    """Show the pipeline NAME: its stages, schedules and newest runs.

    Example: khantui show weekly-learners --document > pipeline.json
    """
    if document or number:
        current = number or session.client.pipeline(name).version
        version = session.client.version(name, current)
        if document:
            click.echo(version.document, nl=not str(version.document).endswith("\n"))
            return
        from khantui.cli.describe import version_lines

        session.show_one(version, lambda v: version_lines(session, v), lambda v: f"{v.pipeline}@{v.version}")
        return
    from khantui.cli.describe import pipeline_lines

    session.show_one(session.client.pipeline(name), lambda p: pipeline_lines(session, p), lambda p: p.name)


@command("history", short_help="List the versions of a pipeline.")
@click.argument("name", shell_complete=pipeline_names)
@pass_session
def history(session: Session, name: str) -> None:
    """List the versions of the pipeline NAME, newest first.

    Example: khantui history weekly-learners
    """
    from khantui.render.rows import version_columns

    session.show(session.client.versions(name), version_columns(session.now), lambda v: str(v.version))
