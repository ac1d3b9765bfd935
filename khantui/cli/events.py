"""What happens, for programs."""

from __future__ import annotations

import sys

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, encode


@command("events", short_help="Follow what happens, one JSON object a line.")
@click.option("--since", type=click.IntRange(min=0), metavar="REVISION", help="From there on; by default from now.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(["run", "stage", "pipeline", "schedule", "backfill"]),
    help="Only these.",
)
@click.option("-n", "count", type=click.IntRange(min=1), help="Leave after so many.")
@pass_session
def events(session: Session, since: int | None, kinds: tuple[str, ...], count: int | None) -> None:
    """Follow what happens, one JSON object a line: the revision, what changed, and what it is now.

    A kind `relist` says that what happened before is not known any more: list again. Example: khantui events
    """
    from khantui.api.stream import events as follow

    start = session.client.revision() if since is None else since
    told = 0
    for event in follow(session.client, start):
        if kinds and event.kind not in (*kinds, "relist"):
            continue
        click.echo(event.id if session.output == "name" else encode(event))
        sys.stdout.flush()
        told += 1
        if told == count:
            return
