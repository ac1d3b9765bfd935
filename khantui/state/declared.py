"""What a service account declares, as it is written on one line of a form, and read from it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from backend.accounts.account import SecretUse
from khantui.errors import Misuse

_EXAMPLE = "api-token=$API_TOKEN gcp-key=key.json gcp-key=key.json,$KEY_FILE"


def network_of(text: str) -> str | tuple[str, ...]:
    """`none`, `all`, or destinations with spaces between."""
    words = tuple(text.replace(",", " ").split())
    if words in (("all",), ("none",)):
        return words[0]
    return words or "none"


def network_text(network: Iterable[str]) -> str:
    """The same, written."""
    return " ".join(network) or "none"


def secrets_of(text: str) -> tuple[SecretUse, ...]:
    """Secrets with spaces between, each with its variable, its file, or both: `key=key.json,$KEY`. Raises Misuse."""
    uses = []
    for word in text.split():
        secret, _, given = word.partition("=")
        env = file = ""
        for each in filter(None, given.split(",")):
            known = env if each.startswith("$") else file
            if known:
                raise Misuse(f"{word!r} says two of a kind", _EXAMPLE)
            env, file = (each[1:], file) if each.startswith("$") else (env, each)
        if not secret or not (env or file):
            raise Misuse(f"{word!r} does not say how stages get it: as a variable, or as a file", _EXAMPLE)
        uses.append(SecretUse(secret, env, file))
    return tuple(uses)


def secrets_text(uses: Iterable[SecretUse]) -> str:
    """The same, written."""
    return " ".join(
        f"{use.secret}={','.join(filter(None, (use.file, f'${use.env}' if use.env else '')))}" for use in uses
    )


def pairs(text: str, what: str, example: str) -> dict[str, str]:
    """`key=value` words, with spaces between, quoted as in a shell. Raises Misuse."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Misuse(f"{text!r} cannot be read: {error}", example) from None
    if wrong := [word for word in words if not word.partition("=")[1]]:
        raise Misuse(f"{wrong[0]!r} is no {what}", example)
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def pairs_text(found: Mapping[str, str]) -> str:
    """The same, written."""
    return shlex.join(f"{key}={value}" for key, value in found.items())
