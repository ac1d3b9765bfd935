"""Service accounts: what is declared for the stages of pipelines that name one. What is not declared is not there."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime

from msgspec import Struct

from backend.accounts.destination import ALL, Destinations, parse
from backend.errors import InvalidRequest

NONE = "none"  # the account of a pipeline that names none
MOST_SECRETS, MOST_DESTINATIONS = 64, 200
FOLDER = "/khan/secrets"  # where a stage finds its secrets that are files
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_OURS = re.compile(r"KHAN_.*|LD_.*|PATH|HOME|TMPDIR|(?:HTTPS?|ALL|NO)_PROXY", re.IGNORECASE)
_OBJECT = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


class SecretUse(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a stage gets a secret: as the variable `env`, as the file `file`; with both, the variable is its path."""

    secret: str
    env: str = ""
    file: str = ""


class ClusterIdentity(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who its pods are on Kubernetes."""

    service_account: str = ""  # one that is there; empty with `annotations`: Khantui makes one of its own
    annotations: dict[str, str] = {}  # of the ServiceAccount that Khantui makes: a cloud's identity
    token: bool = False  # whether its pods have a token of the API server


class Account(Struct, frozen=True, omit_defaults=True):
    """A service account."""

    name: str
    description: str = ""
    network: tuple[str, ...] = ()  # destinations; empty: none at all
    secrets: tuple[SecretUse, ...] = ()
    kubernetes: ClusterIdentity = ClusterIdentity()
    users: tuple[str, ...] = ()  # who may use it, besides administrators
    created: datetime | None = None
    created_by: str = ""
    updated: datetime | None = None
    updated_by: str = ""


def network_of(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """Destinations from `none`, `all` or a list of them. Raises InvalidRequest."""
    if given == NONE:
        return ()
    if given == "all":
        return (ALL,)
    if isinstance(given, str):
        raise InvalidRequest(f"network is {given!r}", hint='write "none", "all", or a list: ["api.example.org:443"]')
    return given


def check(account: Account) -> None:
    """Raises InvalidRequest for what cannot be meant."""
    if account.name == NONE:
        raise InvalidRequest("the account none has no network and no secrets, and stays so", hint="take another name")
    if len(account.network) > MOST_DESTINATIONS:
        raise InvalidRequest(f"an account has at most {MOST_DESTINATIONS} destinations, not {len(account.network)}")
    for text in account.network:
        try:
            parse(text)
        except ValueError as error:
            raise InvalidRequest(str(error), hint="docs/service-accounts.md says what can be written") from None
    _check_secrets(account.secrets)
    _check_cluster(account.kubernetes)


def _check_secrets(uses: tuple[SecretUse, ...]) -> None:
    if len(uses) > MOST_SECRETS:
        raise InvalidRequest(f"an account has at most {MOST_SECRETS} secrets, not {len(uses)}")
    for use in uses:
        if not use.env and not use.file:
            raise InvalidRequest(
                f"how is the secret {use.secret!r} to be given?", hint='{"secret": …, "env": "NAME"} or "file": "name"'
            )
        if use.env and (not _ENV.fullmatch(use.env) or _OURS.fullmatch(use.env)):
            raise InvalidRequest(f"a secret cannot be the variable {use.env!r}")
        if use.file and not _FILE.fullmatch(use.file):
            raise InvalidRequest(
                f"a secret cannot be the file {use.file!r}", hint=f"a name without folders: it is put into {FOLDER}"
            )
    for what in ("env", "file"):
        names = [name for use in uses if (name := getattr(use, what))]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise InvalidRequest(f"two secrets would be the same {what} {twice!r}")


def _check_cluster(identity: ClusterIdentity) -> None:
    if identity.service_account and not _OBJECT.fullmatch(identity.service_account):
        raise InvalidRequest(f"{identity.service_account!r} cannot be a ServiceAccount's name")
    if identity.service_account and identity.annotations:
        raise InvalidRequest(
            f"annotations are put on a ServiceAccount that Khantui makes; {identity.service_account!r} is yours",
            hint="annotate that one, and leave annotations out; or leave service_account out",
        )
    for key in identity.annotations:
        if not _KEY.fullmatch(key) or key.startswith("khantui.dev/"):
            raise InvalidRequest(f"{key!r} cannot be an annotation's name")


def missing(account: Account, there: Collection[str]) -> tuple[str, ...]:
    """Secrets that it declares and that are not among those that are there."""
    return tuple(dict.fromkeys(use.secret for use in account.secrets if use.secret not in there))


def by_name(account: Account) -> tuple[str, ...]:
    """Its destinations that are names: what a NetworkPolicy cannot say."""
    return tuple(d.text for d in Destinations(account.network).all if d.host and d.text != ALL)
