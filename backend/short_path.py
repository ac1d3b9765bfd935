"""Paths of unix sockets, of which the kernel takes 107 bytes."""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from pathlib import Path

from backend.errors import KhanError

LONGEST = 100  # bytes of a socket's path


def within_reach(folder: Path, name: str) -> Path:
    """`folder`, by a path that is short enough for a socket `name` in it: through a link, if need be.

    Raises KhanError if somebody else has made that link: it could lead to a socket of theirs, now or later.
    """
    if len(os.fsencode(folder / name)) <= LONGEST:
        return folder
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    link = runtime / f"khantui-{os.getuid()}-{sha256(os.fsencode(folder)).hexdigest()[:12]}"
    try:
        if not link.is_symlink() or link.readlink() != folder:
            link.unlink(missing_ok=True)
            link.symlink_to(folder)
        if link.lstat().st_uid != os.getuid():
            raise PermissionError
    except PermissionError as error:
        raise KhanError(
            f"{link} is somebody else's", hint="set XDG_RUNTIME_DIR, or use a data folder with a shorter path"
        ) from error
    return link
