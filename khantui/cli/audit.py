"""The journal: who did what, and who was kept from it."""

from __future__ import annotations

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session


@command("audit", short_help="List who did what, when, from where and why; and who was kept from it.")
@click.argument("words", nargs=-1, metavar="[FILTER]…")
@click.option("--since", default="", metavar="WHEN", help="What happened then or later: 2h, 2026-11-25, …T06:00.")
@click.option("--until", default="", metavar="WHEN", help="What happened before.")
@click.option("--limit", type=click.IntRange(min=1), help="How many at most (50; with --since or jsonl: all).")
@pass_session
def audit(session: Session, words: tuple[str, ...], since: str, until: str, limit: int | None) -> None:
    """List the journal, newest first: who did what, when, from where, and why.

    A FILTER is who=…, what=…, target=…, origin=…, proof=…, outcome=… or request=…, each with * and ?; `denied`; or
    words that the entry has somewhere. `-o jsonl` prints whole entries, with what was before and after.

    \b
    Example: khantui audit
             khantui audit denied --since 1d
             khantui audit who=ann@example.org 'what=delete_*' --since 2026-11-01
             khantui audit --since 2026-11-01 -o jsonl > november.jsonl
    """
    from khantui.render.audit import audit_columns
    from khantui.state.audit import query_of

    query = query_of(" ".join(words), since=since, until=until, now=session.now)
    most = limit or (0 if since or session.output == "jsonl" else 50)
    session.show(
        session.client.audit(limit=most, **query),
        audit_columns(session.now),
        lambda e: e.id,
        empty="the journal has no such entry",
    )
