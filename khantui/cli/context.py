"""Contexts: several daemons by name."""

from __future__ import annotations

from pathlib import Path

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, note


@click.group("context", short_help="Name daemons, and say which one is meant.")
def context() -> None:
    """Name daemons, and say which one is meant when no other is given.

    --address, --data and their environment variables win over the current context.
    """


@command("list", short_help="List the contexts.")
@pass_session
def list_contexts(session: Session) -> None:
    """List the contexts; the current one is marked.

    Example: khantui context list
    """
    from khantui.api.contexts import load
    from khantui.render.table import Column

    known = load()
    rows = [
        {"name": n, "address": c.address, "read_only": c.read_only, "current": n == known.current}
        for n, c in sorted(known.contexts.items())
    ]
    columns: list[Column[dict[str, object]]] = [
        Column("", lambda r: "▶" if r["current"] else ""),
        Column("CONTEXT", lambda r: str(r["name"])),
        Column("ADDRESS", lambda r: str(r["address"])),
        Column("CHANGES", lambda r: "no" if r["read_only"] else "yes"),
    ]
    session.show(rows, columns, lambda r: str(r["name"]), empty="there is none: khantui context add NAME ADDRESS")


@command("add", short_help="Name a daemon.")
@click.argument("name")
@click.argument("url", metavar="ADDRESS")
@click.option("--read-only", is_flag=True, help="The terminal interface changes nothing there.")
@click.option("--token-file", default="", type=click.Path(), metavar="FILE", help="Holds the token that opens it.")
@click.option("--ca", default="", type=click.Path(), metavar="FILE", help="The authority that its certificate is from.")
@pass_session
def add(session: Session, name: str, url: str, read_only: bool, token_file: str, ca: str) -> None:
    """Name the daemon at ADDRESS (unix:///path/to/api.sock or https://host:port), or change it.

    Example: khantui context add prod http://127.0.0.1:8080 --read-only
    """
    from khantui.api.address import parse
    from khantui.api.contexts import Context, load, save

    parse(url)
    files = [str(Path(f).expanduser().absolute()) if f else "" for f in (token_file, ca)]
    save(load().put(name, Context(url, read_only, *files)))
    note(f"{name} is {url}{', read-only' if read_only else ''}; use it: khantui context use {name}")


@command("use", short_help="Make a context the current one.")
@click.argument("name", required=False, default="")
@pass_session
def use(session: Session, name: str) -> None:
    """Make NAME the current context; without NAME none is, and the daemon of this machine is meant.

    Example: khantui context use prod
    """
    from khantui.api.contexts import load, save

    save(load().use(name))
    note(f"{name} is used from now on" if name else "the daemon of this machine is used from now on")


@command("remove", short_help="Forget a context.")
@click.argument("name")
@pass_session
def remove(session: Session, name: str) -> None:
    """Forget the context NAME; the daemon stays as it is.

    Example: khantui context remove prod
    """
    from khantui.api.contexts import load, save

    save(load().drop(name))
    note(f"{name} is forgotten")


for each in (list_contexts, add, use, remove):
    context.add_command(each)
