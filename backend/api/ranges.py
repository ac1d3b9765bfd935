"""Parts of something large, as HTTP asks for them."""

from __future__ import annotations

from typing import NamedTuple

from backend.api.literals import number


class Part(NamedTuple):
    """The first byte, the one behind the last, and what the answer says of it."""

    begin: int
    end: int
    status: int
    headers: dict[str, str]


def asked_for(header: str, size: int) -> Part:
    """What a Range header asks for. Only single ranges; others, and those that make no sense, mean everything."""
    begin, end, status = _range(header, size)
    headers = {"Content-Length": str(end - begin), "Accept-Ranges": "bytes"}
    if status == 206:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    return Part(begin, end, status, headers)


def _range(header: str, size: int) -> tuple[int, int, int]:
    unit, _, span = header.partition("=")
    first, dash, last = span.partition("-")
    known = all(number(each) is not None or not each for each in (first, last)) and (first or last)
    if unit != "bytes" or not dash or not known:
        return 0, size, 200
    if not first:
        return max(size - int(last), 0), size, 206
    begin = int(first)
    return begin, max(min(int(last) + 1, size) if last else size, begin), 206 if begin < size else 200
