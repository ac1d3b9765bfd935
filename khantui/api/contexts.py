"""Contexts: several daemons by name, of which one is current. Kept in the user's configuration folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from khantui.errors import Failure, Misuse


class Context(Struct, frozen=True, omit_defaults=True):
    """One daemon: where it is, and whether changes from here are refused."""

    address: str  # unix:///path or http://host:port
    read_only: bool = False
    token_file: str = ""  # a file with the token that opens it
    token_command: str = ""  # a command that prints it
    ca: str = ""  # the certificate of the authority that its own comes from


class Contexts(Struct, frozen=True, omit_defaults=True):
    """All of them."""

    current: str = ""
    contexts: dict[str, Context] = {}

    def put(self, name: str, context: Context) -> Contexts:
        """With this one added or changed."""
        return replace(self, contexts={**self.contexts, name: context})

    def drop(self, name: str) -> Contexts:
        """Without this one. Raises Misuse."""
        self.get(name)
        rest = {n: c for n, c in self.contexts.items() if n != name}
        return replace(self, contexts=rest, current="" if self.current == name else self.current)

    def use(self, name: str) -> Contexts:
        """With this one as the current one; "" for none. Raises Misuse."""
        if name:
            self.get(name)
        return replace(self, current=name)

    def get(self, name: str) -> Context:
        """One of them. Raises Misuse."""
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "there is none yet"
            raise Misuse(f"there is no context {name!r}", f"{known}; khantui context add NAME ADDRESS")
        return self.contexts[name]


def path() -> Path:
    """The file."""
    named = os.environ.get("KHANTUI_CONFIG")
    if named:
        return Path(named).expanduser() / "contexts.json"
    from platformdirs import user_config_path

    return user_config_path("khantui") / "contexts.json"


def load() -> Contexts:
    """What the file says; nothing if there is none. Raises Failure if it cannot be read."""
    try:
        return msgspec.json.decode(path().read_bytes(), type=Contexts)
    except FileNotFoundError:
        return Contexts()
    except (OSError, msgspec.MsgspecError) as error:
        raise Failure(f"{path()} cannot be read: {error}", "mend it, or delete it") from error


def save(contexts: Contexts) -> None:
    """Write the file, whole or not at all. Raises OSError."""
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(contexts), indent=2) + b"\n")
    part.replace(target)
