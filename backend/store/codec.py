"""Values to bytes and back: JSON, so that `etcdctl get` shows them to a person."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
encode = _encoder.encode


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(data: bytes, kind: type[T]) -> T:
    """The struct of type `kind` in `data`. Fields that a newer version added are ignored."""
    value: T = _decoder(kind).decode(data)  # type: ignore[arg-type]
    return value
