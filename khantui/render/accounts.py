"""Service accounts and secrets, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from khantui.render.moments import stamp
from khantui.render.table import Cell, Column
from khantui.render.text import visible

if TYPE_CHECKING:
    from backend.accounts.account import SecretUse
    from backend.api.wire_accounts import AccountView, SecretView, UseView

_SECRETS = "/khan/secrets"
_NAMED = 5  # of those who still use something
Line = list[tuple[str, str]]  # (text, role)


def account_columns() -> list[Column[AccountView]]:
    """Service accounts."""
    return [
        Column("ACCOUNT", lambda a: a.name),
        Column("NETWORK", lambda a: ", ".join(a.network) or "none", flexible=True),
        Column("SECRETS", _secrets_cell, flexible=True),
        Column("PIPELINES", lambda a: str(len(a.pipelines)), right=True, rank=1),
        Column("USERS", lambda a: ", ".join(a.users) or "administrators", rank=2, flexible=True),
        Column("DESCRIPTION", lambda a: a.description or "–", rank=3, flexible=True),
    ]


def _secrets_cell(view: AccountView) -> Cell:
    names = ", ".join(f"{use.secret} (missing)" if use.secret in view.missing else use.secret for use in view.secrets)
    return Cell(names or "none", "failed" if view.missing else "")


def declared(view: AccountView) -> Iterator[tuple[str, str]]:
    """All that an account declares, line by line."""
    yield "account", view.name
    yield "description", view.description
    for number, destination in enumerate(view.network or ("none",)):
        yield "" if number else "network", destination
    for number, use in enumerate(view.secrets):
        missing = "  (there is no such secret)" if use.secret in view.missing else ""
        yield "" if number else "secrets", f"{use.secret} as {_given(use)}{missing}"
    if not view.secrets:
        yield "secrets", "none"
    identity = view.kubernetes
    yield "on Kubernetes", identity.service_account
    for key, value in identity.annotations.items():
        yield "annotation", f"{key} = {value}"
    yield "token", "pods have a token of the API server" if identity.token else ""
    yield "users", ", ".join(view.users) or "administrators"
    yield "pipelines", ", ".join(view.pipelines) or "none"
    yield "changed", f"{stamp(view.updated)} by {view.updated_by}"


def _given(use: SecretUse) -> str:
    if use.file:
        return f"the file {_SECRETS}/{use.file}" + (f", at ${use.env}" if use.env else "")
    return f"${use.env}"


def secret_columns() -> list[Column[SecretView]]:
    """Secrets, without their values."""
    return [
        Column("SECRET", lambda s: s.name),
        Column("VERSION", lambda s: str(s.version), right=True),
        Column("CHANGED", lambda s: stamp(s.updated)),
        Column("ACCOUNTS", lambda s: ", ".join(s.accounts) or "none", flexible=True),
        Column("LAST USED", lambda s: stamp(s.last_used.at) if s.last_used else "never", rank=1),
        Column("BY", lambda s: _by(s.last_used) if s.last_used else "–", rank=2, flexible=True),
        Column("DESCRIPTION", lambda s: s.description or "–", rank=3, flexible=True),
    ]


def about_secret(view: SecretView) -> Iterator[tuple[str, str]]:
    """All about a secret but its value, line by line."""
    yield "secret", view.name
    yield "description", view.description
    yield "version", str(view.version)
    yield "made", f"{stamp(view.created)} by {view.created_by}"
    yield "changed", f"{stamp(view.updated)} by {view.updated_by}"
    yield "wrapped with", f"the key {view.key}"
    yield "accounts", ", ".join(view.accounts) or "none"
    for number, use in enumerate(view.uses):
        earlier = "" if use.current else "  (an earlier value)"
        yield "" if number else "given to", f"{stamp(use.at)}  {_by(use)} as {use.account}{earlier}"
    if not view.uses:
        yield "given to", "nobody yet"


def _by(use: UseView) -> str:
    attempt = f", attempt {use.attempt}" if use.attempt > 1 else ""
    return f"{use.pipeline} {use.run[-6:]} {use.stage}{attempt}"


def lines(facts: Iterable[tuple[str, str]]) -> list[Line]:
    """Facts one below the other, without those that say nothing."""
    return [[(f"{label:<14}", "faint"), (visible(value), "")] for label, value in facts if value]


def used(account: str, secrets: Sequence[SecretView]) -> Iterator[tuple[str, str]]:
    """Which attempts were given an account's secrets, the newest first, line by line."""
    uses = [(use, secret.name) for secret in secrets for use in secret.uses if use.account == account]
    for number, (use, name) in enumerate(sorted(uses, key=lambda each: each[0].at, reverse=True)):
        yield "" if number else "given to", f"{stamp(use.at)}  {name}  {_by(use)}"
    if secrets and not uses:
        yield "given to", "nobody yet"


def still_used(view: AccountView | SecretView) -> str:
    """Who still uses it, for the question whether it is to be deleted."""
    what, users = (
        ("the service account", view.accounts) if hasattr(view, "accounts") else ("the pipeline", view.pipelines)
    )
    if not users:
        last = getattr(view, "last_used", None)
        return f"{view.name}: nobody uses it" + (f"; last {stamp(last.at)} {_by(last)}" if last is not None else "")
    more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
    names = f"{what}{'s' * (len(users) > 1)} {', '.join(users[:_NAMED])}{more}"
    return f"{view.name} is still used by {names}, and so stays"
