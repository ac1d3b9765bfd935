"""Where a list goes on: the revision it is of, and the last key that was looked at; opaque to clients."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from backend.api.literals import number
from backend.api.wire import Page
from backend.errors import InvalidRequest

if TYPE_CHECKING:
    from backend.api.call import Call


class Cursor(Struct, frozen=True):
    """A place in a list."""

    revision: int
    key: str


def pack(cursor: Cursor) -> str:
    """As text for a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def unpack(text: str) -> Cursor | None:
    """From text; None for an empty one. Raises InvalidRequest."""
    if not text:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise InvalidRequest("this cursor is none of ours", hint="take it from the page before") from error


def within(call: Call, prefix: str) -> Cursor | None:
    """Where a list of the keys below `prefix` goes on; None at its beginning. Raises InvalidRequest.

    A cursor is the client's: one that is made up must not lead to what is another list's.
    """
    at = unpack(call.text("cursor"))
    if at is not None and not at.key.startswith(prefix):
        raise InvalidRequest("this cursor belongs to another list", hint="take it from the page before")
    return at


def part(call: Call, items: Sequence[Any], revision: int) -> Page:
    """The page that is asked for of a list that was made whole. Raises InvalidRequest."""
    at = unpack(call.text("cursor"))
    begin = (number(at.key) if at else None) or 0
    end = begin + call.limit
    following = pack(Cursor(revision, str(end))) if end < len(items) else None
    return Page(list(items[begin:end]), following, len(items), revision)
