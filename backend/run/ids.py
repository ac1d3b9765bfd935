"""Identifiers of runs: time-ordered text, short enough to read out, and derivable so that a tick cannot make two.

`06f2k9x4qe-7f3k2a`: ten characters of milliseconds since 1970 and six that tell runs of one millisecond apart, in
Crockford's base 32 (no i, l, o, u). People use the last six.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_MIRROR = str.maketrans(_ALPHABET, _ALPHABET[::-1])
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # of the moments that ids tell
_ID = re.compile(rf"[{_ALPHABET}]{{10}}-[{_ALPHABET}]{{6}}")
_SHORT = re.compile(rf"[{_ALPHABET}]{{6}}")


def _base32(value: int, width: int) -> str:
    text = ""
    for _ in range(width):
        value, digit = divmod(value, 32)
        text = _ALPHABET[digit] + text
    return text


def new_id(moment: datetime, seed: str = "") -> str:
    """An id for something that began at `moment`. With a seed, always the same one for the same moment and seed."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    if seed:
        tail = int.from_bytes(hashlib.sha256(f"{milliseconds}:{seed}".encode()).digest()[:4])
    else:
        tail = secrets.randbits(30)
    return f"{_base32(milliseconds, 10)}-{_base32(tail, 6)}"


def moment_of(identifier: str) -> datetime:
    """The moment that an id was made for, to the millisecond, in UTC."""
    value = 0
    for character in identifier[:10]:
        value = value * 32 + _ALPHABET.index(character)
    return datetime.fromtimestamp(value / 1000, UTC)


def edge(moment: datetime) -> str:
    """How the mirrored ids begin that are made for something at `moment`: those of later ones come before it."""
    return mirror(_base32(max(0, int(moment.timestamp() * 1000)), 10))


def is_id(text: str) -> bool:
    """Whether `text` is a whole id."""
    return _ID.fullmatch(text) is not None


def is_short(text: str) -> bool:
    """Whether `text` is the six characters that people use."""
    return _SHORT.fullmatch(text) is not None


def short(identifier: str) -> str:
    """The part that people use."""
    return identifier[-6:]


def mirror(identifier: str) -> str:
    """Turns the order round, so that the newest comes first in a range of keys. Its own inverse."""
    return identifier.translate(_MIRROR)
