"""Whether a disk has room: what cannot be written down fails in many ways, and all have this one reason."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_LEAST = 1 << 20  # bytes; less is none


def no_room(error: BaseException) -> bool:
    """Whether this says that a disk is full, or somebody's share of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def full(path: Path) -> bool:
    """Whether there is no room on the disk of a path, or of what is above it."""
    while not path.exists():
        path = path.parent
    there = os.statvfs(path)
    return there.f_bavail * there.f_frsize < _LEAST or (there.f_files > 0 and there.f_favail == 0)
