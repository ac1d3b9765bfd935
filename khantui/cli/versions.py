"""Going back and forth between the versions of a pipeline, and deleting it."""

from __future__ import annotations

import sys

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import pipeline_names
from khantui.cli.session import Session, note
from khantui.errors import Failure, Misuse


@command("diff", short_help="Show what two versions of a pipeline differ in.")
@click.argument("name", shell_complete=pipeline_names)
@click.argument("old", required=False, type=int)
@click.argument("new", required=False, type=int)
@pass_session
def diff(session: Session, name: str, old: int | None, new: int | None) -> None:
    """Show how version NEW of the pipeline NAME differs from OLD; by default the current one from the one before.

    Example: khantui diff weekly-learners 3 5
    """
    from khantui.render.difference import coloured

    last = new or session.client.pipeline(name).version
    if (old or last - 1) < 1:
        raise Failure(f"{name} has only one version", "there is nothing to compare it with")
    found = session.client.diff(name, old, last)
    session.show_one(found, lambda d: coloured(d.lines, session.colour), lambda d: f"{name}@{d.old}..{d.new}")
    if session.for_people and not found.lines:
        note(f"v{found.old} and v{found.new} of {name} are the same")


@command("rollback", short_help="Make an old version of a pipeline the current one again.")
@click.argument("name", shell_complete=pipeline_names)
@click.argument("version", type=click.IntRange(min=1))
@pass_session
def rollback(session: Session, name: str, version: int) -> None:
    """Make VERSION of the pipeline NAME the current one again, as a new version. Runs that go on keep theirs.

    Example: khantui rollback weekly-learners 3
    """
    applied = session.client.rollback(name, version)
    session.show_one(
        applied,
        lambda a: [f"{a.name} is v{a.version} now, the same as v{version}"],
        lambda a: a.name,
    )


@command("delete", short_help="Delete a pipeline.")
@click.argument("name", shell_complete=pipeline_names)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete the pipeline NAME with its schedules. Its finished runs stay until their time is over.

    Example: khantui delete weekly-learners --yes
    """
    pipeline = session.client.pipeline(name)
    if not yes:
        if not sys.stdin.isatty():
            raise Misuse(f"deleting {name} needs a yes", "say --yes where nobody can be asked")
        schedules = f" and its schedules {', '.join(pipeline.schedules)}" if pipeline.schedules else ""
        if not click.confirm(f"delete the pipeline {name} (v{pipeline.version}){schedules}?", err=True):
            raise Failure("nothing was deleted")
    session.client.delete_pipeline(name)
    session.show_one({"name": name, "outcome": "deleted"}, lambda d: [f"{d['name']} is deleted"], lambda d: d["name"])
