"""What a stage's outputs depend on, as one hash: where it is the same as an earlier one's, so are the outputs.

Pure. The parts are kept beside the hash, so that it can be said which of them has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

EDITION = 1  # what is hashed, and how: a new one makes all earlier results unknown
LONGEST_SHOWN = 48  # characters of a value; of longer ones the hash is kept
MOST_SHOWN = 3  # changes that are told one by one


class Fingerprint(Struct, frozen=True):
    """A hash, and what went into it: "image", "command", "code", "account", "input.X", "environment.X" -> a value."""

    digest: str  # SHA-256, in hexadecimal
    parts: dict[str, str]


def fingerprint(
    *,
    image: str,
    argv: Sequence[str],
    script: str,
    code: str,
    account: str,
    environment: Mapping[str, str],
    inputs: Mapping[str, str],
    outputs: Sequence[str],
) -> Fingerprint:
    """The fingerprint of a stage.

    `image` is what the image's name stands for now, `code` the bundle's content address, `environment` resolved;
    `inputs` maps each place that the stage reads from to the SHA-256 of what is there; `outputs` are its own names.
    """
    said = [EDITION, image, list(argv), script, code, account, dict(environment), dict(inputs), sorted(outputs)]
    digest = hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()
    parts = {
        "image": image,
        "command": _hash(msgspec.json.encode([list(argv), script])),
        "code": code[:12],
        "account": account,
        "outputs": _shown(", ".join(sorted(outputs))),
    }
    parts |= {f"input.{name}": value[:12] for name, value in inputs.items()}
    parts |= {f"environment.{name}": _shown(value) for name, value in environment.items()}
    return Fingerprint(digest, parts)


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """What differs between the parts of two fingerprints, in words; empty where nothing does."""
    found = [_change(name, old.get(name), new.get(name)) for name in {**new, **old} if old.get(name) != new.get(name)]
    if len(found) > MOST_SHOWN:
        found[MOST_SHOWN - 1 :] = [f"{len(found) - MOST_SHOWN + 1} more"]
    return " and ".join((", ".join(found[:-1]), found[-1])) if len(found) > 1 else "".join(found)


def _change(name: str, old: str | None, new: str | None) -> str:
    kind, _, own = name.partition(".")
    what = f"input {own}" if kind == "input" else own if kind == "environment" else f"the {kind}"
    if old is None:
        return f"{what} is new"
    if new is None:
        return f"{what} is gone"
    if kind == "command":
        return f"{what} changed"
    return f"{what} changed ({old or 'none'} → {new or 'none'})"


def _shown(value: str) -> str:
    return value if len(value) <= LONGEST_SHOWN else f"sha256 {_hash(value.encode())}"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
