"""`khantui` alone: the terminal interface, or how things stand and what one can do."""

from __future__ import annotations

import click

from khantui.cli.session import Session, note
from khantui.errors import Unreachable


def show_home(ctx: click.Context, session: Session, *, read_only: bool = False) -> None:
    """The terminal interface; where there is no terminal or no daemon, a short status and the help."""
    from khantui.cli.daemon import daemon_lines
    from khantui.cli.terminal import is_terminal, open_interface
    from khantui.render.rows import run_columns

    try:
        if is_terminal():
            session.client.daemon()
            ctx.exit(open_interface(session, read_only=read_only))
        for line in daemon_lines(session, session.client.daemon()):
            click.echo(line)
        click.echo()
        session.show(
            list(session.client.runs(limit=8)),
            run_columns(session.now),
            lambda r: r.id,
            empty="nothing has run yet",
        )
        click.echo()
    except Unreachable as unreachable:
        note(f"{unreachable.message}\n  → {unreachable.hint}\n")
    click.echo(ctx.get_help())
