"""Runs, newest first."""

from __future__ import annotations

import re

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import pipeline_names
from khantui.cli.session import Session
from khantui.errors import Misuse

STATES = ("queued", "running", "succeeded", "failed", "cancelled")
_TERM = re.compile(r"(state|pipeline|trigger|schedule|age|version)\s*(=|~|<|>)\s*(.+)")


@command("runs", short_help="List runs, newest first.")
@click.argument("filters", nargs=-1, metavar="[FILTER]…", shell_complete=pipeline_names)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="All that there are.")
@click.option("--failed", is_flag=True, help="Only those that failed.")
@pass_session
def runs(session: Session, filters: tuple[str, ...], limit: int, everything: bool, failed: bool) -> None:
    """List runs, newest first. A FILTER is a pipeline, a state, or a condition: state=failed,queued
    pipeline~learn age<2h. Several must all hold.

    Example: khantui runs weekly-learners state=failed 'age<1d'
    """
    from khantui.render.rows import run_columns

    query = conditions(filters)
    if failed:
        query["state"] = ["failed"]
    if not session.for_people and session.output != "name":
        query["include"] = "stages"
    found = session.client.find_runs(query, limit=0 if everything else limit, now=session.now)
    session.show(
        found,
        run_columns(session.now, session.colour),
        lambda r: r.id,
        empty="there are no such runs" if filters or failed else "nothing has run yet: khantui run PIPELINE",
    )


def conditions(filters: tuple[str, ...]) -> dict[str, object]:
    """What filters ask for, by name: `state` (any of), `pipeline`, `pipeline~`, `age<`, `age>` … Raises Misuse."""
    found: dict[str, object] = {}
    for text in filters:
        if text in STATES:
            found["state"] = [text]
            continue
        match = _TERM.fullmatch(text.strip())
        if match is None:
            if re.search(r"[=<>~]", text):
                raise Misuse(
                    f"{text!r} is no filter", "e.g. state=failed, pipeline~learn, age<2h, or a pipeline's name"
                )
            found["pipeline"] = text
            continue
        name, sign, value = match.groups()
        if name == "state" and sign == "=":
            states = value.split(",")
            if wrong := [s for s in states if s not in STATES]:
                raise Misuse(f"runs have no state {wrong[0]!r}", f"states: {', '.join(STATES)}")
            found["state"] = states
        elif name == "age" and sign in "<>":
            found["age" + sign] = _span(value)
        elif name != "age" and (sign == "=" or (name == "pipeline" and sign == "~")):
            found[name if sign == "=" else "pipeline~"] = value
        else:
            raise Misuse(f"{text!r} is no filter: {name} does not go with {sign}")
    return found


def _span(text: str) -> object:
    from khantui.render.moments import parse_span

    try:
        return parse_span(text)
    except ValueError:
        raise Misuse(f"{text!r} is no span of time", "write 90s, 5m, 2h or 1d") from None
