"""Values to bytes and back: JSON, so that `etcdctl get` shows them to a person."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec

from backend.errors import StoreError

T = TypeVar("T")


class Unreadable(StoreError, msgspec.DecodeError):
    """A value in the store that is not what it should be."""

    code, status = "store-unreadable", 500


_encoder = msgspec.json.Encoder()
encode = _encoder.encode


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(data: bytes, kind: type[T]) -> T:
    """The struct of type `kind` in `data`. Fields that a newer version added are ignored. Raises Unreadable."""
    try:
        value: T = _decoder(kind).decode(data)  # type: ignore[arg-type]
    except msgspec.DecodeError as error:
        raise Unreadable(
            f"the store has a value that is no {kind.__name__}: {error}",
            hint="somebody else has written it, or a newer version of this program",
        ) from error
    return value
