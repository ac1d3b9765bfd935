"""Runs, newest first."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import pipeline_names
from khantui.cli.session import Session
from khantui.errors import Misuse

STATES = ("queued", "running", "succeeded", "failed", "cancelled")
_SIGNS = re.compile(r"[=<>~]|^!|^-l$")


@command("runs", short_help="List runs, newest first.")
@click.argument("filters", nargs=-1, metavar="[FILTER]…", shell_complete=pipeline_names)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="All that there are.")
@click.option("--failed", is_flag=True, help="Only those that failed.")
@pass_session
def runs(session: Session, filters: tuple[str, ...], limit: int, everything: bool, failed: bool) -> None:
    """List runs, newest first. A FILTER is a pipeline, a state, or a condition: state=failed,queued
    pipeline~learn age<2h took>10m trigger=schedule by=ann !test. Several must all hold.

    Example: khantui runs weekly-learners state=failed 'age<1d'
    """
    from khantui.render.rows import run_columns

    words = [*filters, "state=failed"] if failed else list(filters)
    include = "" if session.for_people or session.output == "name" else "stages"
    found = session.client.runs(limit=0 if everything else limit, filter=language(words), include=include)
    session.show(
        found,
        run_columns(session.now),
        lambda r: r.id,
        empty="there are no such runs" if filters or failed else "nothing has run yet: khantui run PIPELINE",
    )


def language(filters: Sequence[str]) -> str:
    """What a person typed, as the API's filter: a word alone is a state or the name of a pipeline. Raises Misuse."""
    try:
        words = [word for text in filters for word in shlex.split(text)]
    except ValueError:
        raise Misuse(f"{' '.join(filters)!r} has an open quote") from None
    said, label = [], False
    for word in words:
        if label or _SIGNS.search(word):
            said.append(word)
        else:
            said.append(f"state={word}" if word in STATES else f"pipeline={word}")
        label = word == "-l"
    return shlex.join(said)
