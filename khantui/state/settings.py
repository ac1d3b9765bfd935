"""What the interface remembers from one time to the next, beside the drafts: the colours that somebody chose."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct


class Settings(Struct, frozen=True, omit_defaults=True):
    """All of it."""

    theme: str = ""


def path() -> Path:
    """The file."""
    from platformdirs import user_state_path

    return user_state_path("khantui") / "settings.json"


def load() -> Settings:
    """What was kept; a file that cannot be read counts as none."""
    try:
        return msgspec.json.decode(path().read_bytes(), type=Settings)
    except (OSError, msgspec.MsgspecError):
        return Settings()


def keep(settings: Settings) -> None:
    """Write it, whole or not at all. Raises OSError."""
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(msgspec.json.encode(settings))
    part.replace(target)
