"""`khantui` alone: how things stand, and what one can do."""

from __future__ import annotations

import click

from khantui.cli.session import Session, note
from khantui.errors import Unreachable


def show_home(ctx: click.Context, session: Session) -> None:
    """A short status if a daemon answers, then the help."""
    from khantui.cli.daemon import daemon_lines
    from khantui.render.rows import run_columns

    try:
        for line in daemon_lines(session, session.client.daemon()):
            click.echo(line)
        click.echo()
        session.show(
            list(session.client.runs(limit=8)),
            run_columns(session.now, session.colour),
            lambda r: r.id,
            empty="nothing has run yet",
        )
        click.echo()
    except Unreachable as unreachable:
        note(f"{unreachable.message}\n  → {unreachable.hint}\n")
    click.echo(ctx.get_help())
