"""Drafts on disk, so that nothing is lost when a terminal closes: one file for each pipeline, written whole or not."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec


class Kept(NamedTuple):
    """A draft and the version that it began with (0: a new pipeline)."""

    text: str
    base: int


def folder() -> Path:
    """Where drafts are kept."""
    from platformdirs import user_state_path

    return user_state_path("khantui") / "drafts"


def _path(name: str) -> Path:
    return folder() / f"{quote(name, safe='')}.json"


def keep(name: str, text: str, base: int) -> None:
    """Keep a draft. Raises OSError."""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode({"base": base, "text": text}))
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def kept(name: str) -> Kept | None:
    """The draft of a pipeline, if there is one that can be read."""
    try:
        found = msgspec.json.decode(_path(name).read_bytes())
        return Kept(str(found["text"]), int(found["base"]))
    except (OSError, ValueError, KeyError, TypeError, msgspec.MsgspecError):
        return None


def drop(name: str) -> None:
    """Forget a draft."""
    with contextlib.suppress(OSError):
        _path(name).unlink()
