"""Whether sandboxes can be made on this machine, tried for real; and if not, why, and what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

from backend.errors import ExecutorError
from backend.executors.sandbox.command import system
from backend.executors.sandbox.profiles import bwrap


def check() -> str:
    """The version of the bubblewrap that works here. Raises ExecutorError with what to do."""
    program = bwrap()
    try:
        tried = subprocess.run([program, *system(), "--", "true"], capture_output=True, text=True, timeout=20)
        version = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ExecutorError(f"{program} does not run: {error}") from error
    if tried.returncode:
        raise ExecutorError(f"no sandbox can be made here: {tried.stderr.strip()}", hint=_way_out())
    return version.split()[-1] if version.split() else "?"


def _way_out() -> str:
    return f"{_permission()}; or start with --no-sandbox, which runs stages unconfined"


def _permission() -> str:
    """How user namespaces are to be had on this machine."""
    if _reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor forbids user namespaces: install the system's bubblewrap and set KHANTUI_BWRAP=/usr/bin/bwrap, "
            "or sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if _reads("/proc/sys/user/max_user_namespaces") == "0":
        return "user namespaces are switched off: sysctl user.max_user_namespaces=10000"
    if _reads("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "user namespaces are for root alone here: sysctl kernel.unprivileged_userns_clone=1"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "inside of a container: start it with --security-opt seccomp=unconfined, or privileged"
    return "user namespaces are not permitted here"


def _reads(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
