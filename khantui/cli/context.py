"""Contexts: several daemons by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, note
from khantui.errors import Misuse

if TYPE_CHECKING:
    from khantui.api.contexts import Context


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


_TOKEN_FILE = click.option("--token-file", type=click.Path(), metavar="FILE", help="Holds the token that opens it.")
_TOKEN_COMMAND = click.option("--token-command", metavar="COMMAND", help="Prints the token, whenever one is needed.")
_CA = click.option("--ca", type=click.Path(), metavar="FILE", help="The authority that its certificate is from.")


@command("add", short_help="Name a daemon.")
@click.argument("name")
@click.argument("url", metavar="ADDRESS")
@click.option("--read-only", is_flag=True, help="The terminal interface changes nothing there.")
@_TOKEN_FILE
@_TOKEN_COMMAND
@_CA
@pass_session
def add(session: Session, /, name: str, url: str, read_only: bool, **opens: str | None) -> None:
    """Name the daemon at ADDRESS (unix:///path/to/api.sock or https://host:port), or change it.

    Example: khantui context add prod https://khantui.example.org --token-file ~/.khantui-token
    """
    from khantui.api.address import parse
    from khantui.api.contexts import Context, load, save

    parse(url)
    save(load().put(name, _opened(Context(url, read_only), opens)))
    note(f"{name} is {url}{', read-only' if read_only else ''}; use it: khantui context use {name}")


@command("set", short_help="Change a context.")
@click.argument("name")
@click.option("--url", metavar="ADDRESS", help="Where the daemon is.")
@click.option("--read-only/--no-read-only", default=None, help="The terminal interface changes nothing there.")
@_TOKEN_FILE
@_TOKEN_COMMAND
@_CA
@pass_session
def set_(session: Session, /, name: str, url: str | None, read_only: bool | None, **opens: str | None) -> None:
    """Change what is given of the context NAME; '' takes it away.

    The command's output is the token, or the ExecCredential that plugins of kubectl print. It is run when a token is
    needed, before it expires, and when the daemon does not take it any more. No shell reads it.

    \b
    Example: khantui context set prod --token-command 'gcloud auth print-identity-token'
             khantui context set prod --token-command '' --token-file ~/.khantui-token
    """
    from msgspec.structs import replace

    from khantui.api.address import parse
    from khantui.api.contexts import load, save

    known = load()
    context = known.get(name)
    if url is not None:
        parse(url)
        context = replace(context, address=url)
    if read_only is not None:
        context = replace(context, read_only=read_only)
    save(known.put(name, _opened(context, opens)))
    note(f"{name} is changed")


def _opened(context: Context, opens: dict[str, str | None]) -> Context:
    """A context with what opens it, as far as that is given. Raises Misuse."""
    import shlex

    from msgspec.structs import replace

    given = {name: value for name, value in opens.items() if value is not None}
    for name in ("token_file", "ca"):
        if given.get(name):
            given[name] = str(Path(given[name]).expanduser().absolute())
    try:
        shlex.split(given.get("token_command", ""))
    except ValueError as error:
        raise Misuse(f"--token-command cannot be read: {error}", "close the quotes") from None
    changed: Context = replace(context, **given)
    if changed.token_file and changed.token_command:
        raise Misuse("a token is in a file, or a command prints it", "take one away: --token-file ''")
    return changed


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


for each in (list_contexts, add, set_, use, remove):
    context.add_command(each)
