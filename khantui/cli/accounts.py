"""Service accounts: what stages may reach, and who may use them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, group, pass_session
from khantui.cli.complete import account_names
from khantui.cli.session import Session
from khantui.errors import Misuse

if TYPE_CHECKING:
    from backend.api.wire_accounts import AccountView


@group("accounts", short_help="List the service accounts, or say what they may reach.")
@click.pass_context
@pass_session
def accounts(session: Session, ctx: click.Context) -> None:
    """List the service accounts that pipelines can name, what they declare, and who uses them.

    \b
    Example: khantui accounts
             khantui accounts -o json
    """
    if ctx.invoked_subcommand is not None:
        return
    from khantui.render.accounts import account_columns

    session.show(
        session.client.accounts(), account_columns(), lambda a: a.name, empty="there is no service account yet"
    )


@command("show", short_help="Show a service account.")
@click.argument("name", shell_complete=account_names)
@pass_session
def show_account(session: Session, name: str) -> None:
    """Show all that the service account NAME declares.

    Example: khantui accounts show analytics
    """
    session.show_one(session.client.account(name), _lines, lambda a: a.name)


@command("set", short_help="Make or change a service account.")
@click.argument("name", shell_complete=account_names)
@click.argument("file", metavar="FILE")
@pass_session
def set_account(session: Session, name: str, file: str) -> None:
    """Make the service account NAME, or change it to what the JSON in FILE declares (- for stdin).

    It takes an administrator. What is left out is not declared: no network, no secrets.

    \b
    Example: khantui accounts set analytics analytics.json
             echo '{"network": ["api.example.org:443"], "secrets": [{"secret": "api-token", "env": "TOKEN"}]}' |
               khantui accounts set analytics -
    """
    import msgspec

    from backend.api.wire_accounts import PutAccount

    text = sys.stdin.read() if file == "-" else Path(file).read_text()
    try:
        body = msgspec.json.decode(text, type=PutAccount)
    except msgspec.DecodeError as error:
        raise Misuse(
            f"{file} declares no service account: {error}", "see docs/service-accounts.md for what can be in it"
        ) from None
    view = session.client.put_account(name, body)
    session.show_one(view, _lines, lambda a: a.name)
    for secret in view.missing:
        click.echo(f"khantui: there is no secret {secret!r} yet: khantui secrets set {secret}", err=True)


@command("delete", short_help="Delete a service account.")
@click.argument("name", shell_complete=account_names)
@pass_session
def delete_account(session: Session, name: str) -> None:
    """Delete the service account NAME, which no pipeline may name any more. It takes an administrator.

    Example: khantui accounts delete analytics
    """
    session.client.delete_account(name)
    session.show_one(
        {"name": name, "outcome": "deleted"}, lambda d: [f"the service account {name} is deleted"], lambda d: d["name"]
    )


for each in (show_account, set_account, delete_account):
    accounts.add_command(each)


def _lines(view: AccountView) -> Iterator[str]:
    """Everything about an account, for people."""
    from khantui.render.accounts import declared
    from khantui.render.text import visible

    for label, value in declared(view):
        if value:
            yield f"{label:<16}{visible(value)}"
