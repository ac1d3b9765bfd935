"""The command line that starts an attempt: bubblewrap's with the sandbox around it, or a bare one without."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from backend.executors.base import AttemptSpec
from backend.executors.environment import check, variables
from backend.executors.sandbox.folder import Folder
from backend.executors.sandbox.grants import Given, make_private, variables_of
from backend.executors.sandbox.limits import Limits
from backend.executors.sandbox.profiles import BIN, SYSTEM, Profile
from backend.layout import Layout

STATUS = 3  # the descriptor to which the status is written
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def system() -> list[str]:
    """Arguments that are the same for every sandbox on this machine."""
    arguments = ["--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
    arguments += ["--disable-userns", "--clearenv", "--hostname", "khantui", "--dev", "/dev"]
    # of a daemon that root runs, /proc/sys belongs to the stage's user: nothing there may be written
    arguments += ["--proc", "/proc", "--remount-ro", "/proc"]
    for folder in SYSTEM:
        if folder.is_symlink():
            arguments += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            arguments += ["--ro-bind", str(folder), str(folder)]
    return arguments


def sandboxed(
    bwrap: Path,
    base: list[str],
    layout: Layout,
    spec: AttemptSpec,
    profile: Profile,
    folder: Folder,
    limits: Limits,
    given: Given,
) -> list[str]:
    """The whole argv of an attempt in its sandbox; `base` is what they all have."""
    argv = [str(bwrap), "--json-status-fd", str(STATUS), *base]
    argv += ["--bind", str(folder.path / "tmp"), "/tmp", "--bind", str(folder.out), "/khan/out"]  # noqa: S108
    for here, inside in profile.binds:
        argv += ["--ro-bind", str(here), inside]
    for mount in spec.inputs:
        argv += ["--ro-bind", str(layout.artifact(mount.location)), f"/khan/in/{mount.place}"]
    argv += ["--ro-bind", str(layout.bundle(spec.code)), "/khan/code"] if spec.code else ["--dir", "/khan/code"]
    script = _script(spec, profile, folder)
    if script:
        argv += ["--ro-bind", str(script), f"/khan/{script.name}"]
    paths = {"in": "/khan/in", "out": "/khan/out", "tmp": "/tmp"}  # noqa: S108
    for name, value in _environment(spec, profile.path, paths).items():
        argv += ["--setenv", name, value]
    argv += [*given.arguments, "--remount-ro", "/", "--chdir", "/khan/code", "--", *given.prefix]
    return _checked([*argv, *limits.prefix(), *_run(spec, profile, f"/khan/{script.name}" if script else "")])


def bare(
    layout: Layout, spec: AttemptSpec, profile: Profile, folder: Folder, limits: Limits, secrets: Path
) -> tuple[list[str], dict[str, str]]:
    """Without a sandbox: a shell that writes the status as bubblewrap would, and the environment. Paths are real.

    Secrets that are files are written to a folder of memory, `secrets`. The network is the machine's.
    """
    inputs = folder.path / "in"
    for mount in spec.inputs:
        place = inputs / mount.place
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(layout.artifact(mount.location))
    script = _script(spec, profile, folder)
    command = [*limits.prefix(), *_run(spec, profile, str(script) if script else "")]
    where = shlex.quote(str(layout.bundle(spec.code) if spec.code else folder.path / "tmp"))
    # its own argv names the folder, so that it can be found again
    text = (
        f": {shlex.quote(str(folder.out))}; cd {where} && printf '{{\"child-pid\": %d}}\\n' $$ >&{STATUS}; "
        f"{shlex.join(command)} {STATUS}>&-; printf '{{\"exit-code\": %d}}\\n' $? >&{STATUS}"
    )
    tmp = str(folder.path / "tmp")
    paths = {"in": str(inputs), "out": str(folder.out), "tmp": tmp}
    path = tuple(
        str(here.parent) if inside.startswith(f"{BIN}/") else f"{inside}/bin" for here, inside in profile.binds
    )
    environment = _environment(spec, path, paths)
    _write_secrets(spec, secrets)
    environment |= {k: os.fsdecode(v) for k, v in variables_of(spec.grant, str(secrets)).items()}
    return _checked(["/bin/sh", "-c", text, "khantui", str(folder.out)]), environment


def _write_secrets(spec: AttemptSpec, secrets: Path) -> None:
    for secret in spec.grant.secrets:
        if secret.file:
            make_private(secrets)
            file = os.open(secrets / secret.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o400)
            with open(file, "wb") as out:  # noqa: PTH123
                out.write(secret.value)


def _run(spec: AttemptSpec, profile: Profile, script: str) -> list[str]:
    return [*profile.interpreter, script] if script else list(spec.argv)


def _script(spec: AttemptSpec, profile: Profile, folder: Folder) -> Path | None:
    if not spec.script:
        return None
    path = folder.path / f"script{profile.image.suffix}"
    path.write_text(spec.script, encoding="utf-8")
    return path


def _environment(spec: AttemptSpec, first: tuple[str, ...], paths: Mapping[str, str]) -> dict[str, str]:
    path = ":".join((*first, PATH))
    return {"PATH": path, **variables(spec, inputs=paths["in"], outputs=paths["out"], tmp=paths["tmp"])}


def _checked(argv: list[str]) -> list[str]:
    check(argv)
    return argv
