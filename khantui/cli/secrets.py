"""Secrets: their values go in, and are never shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, group, pass_session
from khantui.cli.complete import secret_names
from khantui.cli.session import Session, note
from khantui.errors import Misuse

if TYPE_CHECKING:
    from backend.api.wire_accounts import SecretView


@group("secrets", short_help="List the secrets, give them values, or rotate them.")
@click.pass_context
@pass_session
def secrets(session: Session, ctx: click.Context) -> None:
    """List the secrets, which service accounts declare them, and when they were last used. Values are never shown.

    \b
    Example: khantui secrets
             khantui secrets -o json
    """
    if ctx.invoked_subcommand is None:
        _list(session)


@command("list", short_help="List the secrets.")
@pass_session
def list_secrets(session: Session) -> None:
    """List the secrets, like `khantui secrets` alone.

    Example: khantui secrets list
    """
    _list(session)


@command("show", short_help="Show who was given a secret.")
@click.argument("name", shell_complete=secret_names)
@pass_session
def show_secret(session: Session, name: str) -> None:
    """Show all about the secret NAME but its value, with the stages that were given it last.

    Example: khantui secrets show api-token
    """
    session.show_one(session.client.secret(name), _lines, lambda s: s.name)


_FILE = click.option("--from-file", "file", metavar="FILE", help="Read the value from a file, as it is.")


@command("set", short_help="Give a secret a value.")
@click.argument("name", shell_complete=secret_names)
@_FILE
@click.option("--description", metavar="TEXT", help="What it is for, in a line.")
@pass_session
def set_secret(session: Session, name: str, file: str | None, description: str | None) -> None:
    """Give the secret NAME a value, from stdin or a file. It takes an administrator.

    On a terminal the value is asked for and not shown. A line break at the end of stdin is not part of it. Stages that
    start from now on get the new value.

    \b
    Example: khantui secrets set api-token
             pass show api-token | khantui secrets set api-token
             khantui secrets set gcp-key --from-file key.json
    """
    _set(session, name, file, description)


@command("rotate", short_help="Give a secret a new value, or all of them a new key.")
@click.argument("name", required=False, shell_complete=secret_names)
@_FILE
@pass_session
def rotate_secret(session: Session, name: str | None, file: str | None) -> None:
    """Give the secret NAME a new value; without NAME, change the key that all secrets are wrapped with.

    It takes an administrator. Where the daemon was started with --secrets-key, put the new key into that file first,
    before the old ones; when this has ended, the old ones can go.

    \b
    Example: khantui secrets rotate api-token < new
             khantui secrets rotate
    """
    if name is not None:
        session.client.secret(name)
        _set(session, name, file, None)
        return
    if file is not None:
        raise click.UsageError("--from-file is the value of which secret? NAME is missing")
    done = session.client.rewrap_secrets()
    session.show_one(done, lambda d: [f"{d.secrets} secrets are wrapped with the key {d.key}"], lambda d: d.key)


@command("delete", short_help="Delete a secret.")
@click.argument("name", shell_complete=secret_names)
@pass_session
def delete_secret(session: Session, name: str) -> None:
    """Delete the secret NAME, which no service account may declare any more. It takes an administrator.

    Example: khantui secrets delete api-token
    """
    session.client.delete_secret(name)
    session.show_one(
        {"name": name, "outcome": "deleted"}, lambda d: [f"the secret {name} is deleted"], lambda d: d["name"]
    )


for each in (list_secrets, show_secret, set_secret, rotate_secret, delete_secret):
    secrets.add_command(each)


def _list(session: Session) -> None:
    from khantui.render.accounts import secret_columns

    session.show(session.client.secrets(), secret_columns(), lambda s: s.name, empty="there is no secret yet")


def _set(session: Session, name: str, file: str | None, description: str | None) -> None:
    from backend.api.wire_accounts import PutSecret

    view = session.client.put_secret(name, PutSecret(_value(file), description))
    session.show_one(view, _lines, lambda s: s.name)
    if not view.accounts:
        note(f"khantui: no service account declares {name} yet: no stage is given it")


def _value(file: str | None) -> bytes:
    """The value, which is on no command line. Raises Misuse."""
    if file is not None and file != "-":
        return Path(file).read_bytes()
    if sys.stdin.isatty():
        return str(click.prompt("value", hide_input=True, err=True)).encode()
    value = sys.stdin.buffer.read()
    if not value:
        raise Misuse("there is no value on stdin", "pipe it in, or name a file: --from-file FILE")
    return value.removesuffix(b"\n").removesuffix(b"\r")


def _lines(view: SecretView) -> Iterator[str]:
    """Everything about a secret but its value, for people."""
    from khantui.render.accounts import about_secret
    from khantui.render.text import visible

    for label, value in about_secret(view):
        if value:
            yield f"{label:<16}{visible(value)}"
