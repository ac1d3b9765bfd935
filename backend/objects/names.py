"""Paths of files as keys of objects: as they are where that is possible, percent-encoded where it is not."""

from __future__ import annotations

import os
import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

_ODD = re.compile(r"[\x00-\x1f\x7f\udc80-\udcff]|%[0-9A-Fa-f]{2}")
_SAFE = "/ !$&'()+,-.:;=@_~"


def key_of(path: str) -> str:
    """The key of a relative path, which may have any bytes in it that a file's name may have."""
    if not _ODD.search(path):
        return path
    return quote_from_bytes(os.fsencode(path), safe=_SAFE)


def path_of(key: str) -> str:
    """The path whose key this is."""
    return os.fsdecode(unquote_to_bytes(key)) if "%" in key else key
