"""The /etc that sandboxes see: one folder, made of this machine's own, so that it takes one mount and not a dozen.

bubblewrap reads the whole table of mounts after each one that it makes, so that every mount costs all that follow.
What the folder is made of is looked at now and then; when it has changed (certificates were renewed, a program was
installed), sandboxes from then on get a new folder, and those that run keep theirs.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

LOOK = 30.0  # seconds between two looks at what it is made of
KEPT = 30 * 86_400.0  # seconds for which one stays after it was last used: an attempt may have it still
USERS = {
    "passwd": "khan:x:1000:1000::/tmp:/bin/sh\nroot:x:0:0::/root:/bin/sh\n",
    "group": "khan:x:1000:\nroot:x:0:\n",
}
NETWORK = ("hosts", "nsswitch.conf")
_NAMES = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "ssl",
    "ca-certificates",
    "pki",
    "localtime",
    "fonts",
    "R",
    "mime.types",
    "magic",
)
_KEYS = "private"  # folders of this name have keys in them


class Etc:
    """Keeps the folder `etc-<digest>` of this machine in another one."""

    def __init__(self, folder: Path, source: Path = Path("/etc")) -> None:
        self._folder = folder
        self._source = source
        self._current: Path | None = None
        self._looked = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self._sweep()

    @property
    def due(self) -> bool:
        """Whether it is time to look at what it is made of: that takes long, most of all the first time."""
        return self._current is None or time.monotonic() - self._looked > LOOK

    def current(self) -> Path:
        """The folder as it is now. Raises OSError where it cannot be written."""
        if self._current is None or self.due:
            self._looked = time.monotonic()
            path = self._folder / f"etc-{self._digest()}"
            if path != self._current:
                if not path.exists():
                    self._make(path)
                for used in (self._current, path):
                    if used is not None:
                        os.utime(used)
                self._current = path
        return self._current

    def _digest(self) -> str:
        """Changes when anything does that the folder is made of."""
        seen = [repr((sorted(USERS.items()), NETWORK, _NAMES))]
        seen += [f"{path} {status.st_mtime_ns} {status.st_size}" for path, status in self._stamps()]
        return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]

    def _stamps(self) -> Iterator[tuple[str, os.stat_result]]:
        """Files at the top, and all folders: what is in those is replaced and never written over."""
        for name in _NAMES:
            path = self._source / name
            with contextlib.suppress(OSError):
                yield str(path), path.stat()
            if path.is_dir():
                for inside, folders, _ in os.walk(path):
                    folders[:] = sorted(f for f in folders if f != _KEYS)
                    with contextlib.suppress(OSError):
                        yield inside, Path(inside).stat()

    def _make(self, path: Path) -> None:
        """Make it; it is there whole or not at all."""
        new = path.with_name(f"{path.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o755)
        for name in _NAMES:
            _copy(self._source / name, new / name)
        for name in NETWORK:  # where their own are mounted, of stages that have a network
            (new / name).touch()
        for name, text in USERS.items():
            (new / name).write_text(text)
        new.rename(path)

    def _sweep(self) -> None:
        """Remove those that nobody has used for long."""
        for path in self._folder.glob("etc-*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > KEPT:
                    shutil.rmtree(path, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """Copy what may be read of it; links stay links, as most lead to where a sandbox has the same."""
    try:
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(_KEYS))
        elif source.is_symlink() or source.is_file():
            shutil.copy2(source, target, follow_symlinks=False)
    except (OSError, shutil.Error) as error:
        log.debug("of %s something is left out of the sandbox: %s", source, error)
