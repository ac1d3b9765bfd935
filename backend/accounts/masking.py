"""Hides secrets in bytes that are shown: each byte becomes a star, so that offsets and lines stay what they are."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote

SHORTEST = 4  # bytes of a secret: what is shorter would be found everywhere
PART = 8  # bytes of a line of a secret that has several
LEAF = 20  # characters of a value within a secret that is JSON


class Masker:
    """Knows some secrets, in the shapes in which programs print them."""

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        self._patterns = sorted({shape for value in values for shape in shapes(value)}, key=len, reverse=True)
        self.longest = max(map(len, self._patterns), default=0)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def mask(self, data: bytes, *, unfinished: bool = False) -> bytes:
        """The same bytes with stars in them. `unfinished`: the end may be the beginning of a secret, and is hidden."""
        spans = list(self.spans(data))
        if unfinished and (begun := self._begun(data)):
            spans.append((len(data) - begun, len(data)))
        if not spans:
            return data
        masked = bytearray(data)
        for begin, end in spans:
            masked[begin:end] = b"*" * (end - begin)
        return bytes(masked)

    def text(self, text: str) -> str:
        """Text, with stars in it."""
        return self.mask(text.encode()).decode("utf-8", "replace") if self else text

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where secrets are; they may overlap."""
        for pattern in self._patterns:
            at = data.find(pattern)
            while at >= 0:
                yield at, at + len(pattern)
                at = data.find(pattern, at + 1)

    def _begun(self, data: bytes) -> int:
        """How many bytes at the end are the beginning of a secret."""
        tail = data[-self.longest :] if self.longest else b""
        return max((_overlap(tail, pattern) for pattern in self._patterns), default=0)


def shapes(value: bytes) -> set[bytes]:
    """What a secret looks like where it is printed: itself, quoted for URLs and JSON, in base64, and line by line."""
    found = {value, value.strip()}
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        found = {line for line in lines if len(line) >= PART}
    found |= set(_leaves(value))
    for shape in tuple(found):
        try:
            text = shape.decode()
        except UnicodeDecodeError:
            continue
        found |= {quote(text, safe="").encode(), quote(text).encode(), json.dumps(text)[1:-1].encode()}
    for whole in (value, value.strip()):
        found |= {base64.b64encode(whole).rstrip(b"="), base64.urlsafe_b64encode(whole).rstrip(b"=")}
    return {shape for shape in found if len(shape) >= SHORTEST and b"\n" not in shape}


def _leaves(value: bytes) -> Iterator[bytes]:
    """The long values within a secret that is a JSON object, such as a key of a cloud's service account."""
    if not value.lstrip().startswith(b"{"):
        return
    try:
        pending = [json.loads(value)]
    except (ValueError, RecursionError):
        return
    while pending:
        item = pending.pop()
        if isinstance(item, dict | list):
            pending += item.values() if isinstance(item, dict) else item
        elif isinstance(item, str) and len(item) >= LEAF and "://" not in item:
            yield json.dumps(item)[1:-1].encode()
            yield from (line.encode() for line in item.splitlines() if len(line) >= PART)


def _overlap(tail: bytes, pattern: bytes) -> int:
    for length in range(min(len(tail), len(pattern) - 1), 0, -1):
        if tail.endswith(pattern[:length]):
            return length
    return 0
