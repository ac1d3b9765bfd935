"""How artifacts lie in an object store.

A file is the object at its location. A folder has one object for each of its files, at `<location>/<path>`, and a
manifest at `<location>.manifest`, written when all of them are there. What an attempt has published is said by one
object more, `<attempt>/outputs.json`, which comes last: without it nothing of the attempt counts.
Paths are kept as keys (percent-encoded where they must be): a file's name may be no text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from backend.artifacts.content import LINK, Member
from backend.errors import ArtifactError
from backend.layout import Layout
from backend.objects.names import key_of, path_of
from backend.run.state import ArtifactRecord

KEYS = Layout(Path())  # where things lie below a bucket's URL is as below a data folder


def manifest_of(location: str) -> str:
    """The key of a folder's manifest."""
    return f"{location}.manifest"


def outputs_of(attempt: str) -> str:
    """The key of what says that an attempt has published, and what."""
    return f"{attempt}/outputs.json"


def object_of(location: str, member: Member) -> str:
    """The key of a folder's file."""
    return f"{location}/{key_of(member.path)}"


def attempt_of(run: str, stage: str, number: int) -> str:
    """An attempt's place in the store."""
    return KEYS.attempt(run, stage, number).as_posix()


def output_of(attempt: str, name: str) -> str:
    """Where an attempt's output lies: its location."""
    return f"{attempt}/out/{name}"


def input_of(sha256: str) -> str:
    """Where an input from outside lies: its location."""
    return (KEYS.inputs / sha256).as_posix()


def bundle_of(address: str) -> str:
    """The key of a code bundle."""
    return f"{KEYS.bundle(address).as_posix()}.tar"


def pack(members: Iterable[Member]) -> bytes:
    """A folder's manifest."""
    return msgspec.json.encode([_with(member, key_of) for member in members])


def unpack(data: bytes, uri: str) -> list[Member]:
    """The members that a manifest lists. Raises ArtifactError for what is none."""
    try:
        members = [_with(member, path_of) for member in msgspec.json.decode(data, type=list[Member])]
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ArtifactError(f"{uri} is no manifest: {error}") from error
    for member in members:
        parts = member.path.split("/")
        if not member.path or member.path.startswith("/") or ".." in parts or "." in parts:
            raise ArtifactError(f"{uri} is no manifest: {member.path!r} leads out of the folder")
    return members


def pack_outputs(outputs: dict[str, ArtifactRecord]) -> bytes:
    """What an attempt has published."""
    return msgspec.json.encode(outputs)


def unpack_outputs(data: bytes, uri: str) -> dict[str, ArtifactRecord]:
    """The records by the outputs' names. Raises ArtifactError for what is none."""
    try:
        return msgspec.json.decode(data, type=dict[str, ArtifactRecord])
    except msgspec.DecodeError as error:
        raise ArtifactError(f"{uri} does not say what was published: {error}") from error


def mark_of(parts: Iterable[str]) -> str:
    """A short name for what does not change unless one of these parts does."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _with(member: Member, code: object) -> Member:
    assert callable(code)
    value = code(member.value) if member.kind == LINK else member.value
    return replace(member, path=code(member.path), value=value)
