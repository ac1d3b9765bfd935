"""What an attempt's service account gives it in the sandbox: secrets, and a way out of its network namespace.

Secrets go by descriptors of memory: bubblewrap reads variables from one (`--args`), since whoever is on this machine
can read command lines, and copies files to a file system in memory, which ends with the sandbox. No disk sees them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from backend import egress
from backend.accounts.account import FOLDER
from backend.accounts.grant import Grant
from backend.egress import parent
from backend.egress.places import Plan, hosts_file, plan, variables
from backend.errors import ExecutorError
from backend.executors.base import AttemptKey
from backend.executors.sandbox.folder import Folder
from backend.executors.sandbox.profiles import SYSTEM

FIRST = 4  # descriptors of a sandbox: behind those that every process has, and the status'
_APART = 100  # where descriptors wait until they are given: none of them may be in another's place
INSIDE = "/khan/network.py"


class Given:
    """Of one attempt: bubblewrap's arguments, what goes before the command, and descriptors by their numbers there."""

    def __init__(self) -> None:
        self.arguments: list[str] = []
        self.prefix: list[str] = []
        self.descriptors: dict[int, int] = {}  # there -> here
        self.plan: Plan | None = None
        self.proxy_end: socket.socket | None = None
        self._close: list[Callable[[], None]] = []

    def pass_on(self, descriptor: int) -> str:
        """Give it a descriptor of ours: its number there."""
        here = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _APART)
        self._close.append(lambda: os.close(here))
        there = FIRST + len(self.descriptors)
        self.descriptors[there] = here
        return str(there)

    def pass_bytes(self, data: bytes) -> str:
        """Give it bytes to read, which are in memory alone."""
        descriptor = os.memfd_create("khantui", os.MFD_CLOEXEC)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            os.lseek(descriptor, 0, os.SEEK_SET)
            return self.pass_on(descriptor)
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """It was started, or was not: what is ours of it is closed."""
        for close in self._close:
            close()
        if self.proxy_end is not None:
            self.proxy_end.close()


@contextlib.contextmanager
def given(grant: Grant, account: str, folder: Folder) -> Iterator[Given]:
    """What is to be passed to bubblewrap, for as long as it takes to start it. Raises ExecutorError."""
    made = Given()
    try:
        if grant.network:
            _network(made, grant, account, folder)
        if grant.secrets:
            _secrets(made, grant)
        yield made
    finally:
        made.release()


def _secrets(made: Given, grant: Grant) -> None:
    if any(secret.file for secret in grant.secrets):
        made.arguments += ["--perms", "0500", "--dir", FOLDER]
    for secret in grant.secrets:
        if secret.file:
            made.arguments += ["--perms", "0400", "--file", made.pass_bytes(secret.value), f"{FOLDER}/{secret.file}"]
    hidden = b"".join(
        b"--setenv\0" + name.encode() + b"\0" + value + b"\0" for name, value in variables_of(grant).items()
    )
    if hidden:
        made.arguments += ["--args", made.pass_bytes(hidden)]


def variables_of(grant: Grant, folder: str = FOLDER) -> dict[str, bytes]:
    """The variables that secrets are given as. Raises ExecutorError."""
    found = {}
    for secret in grant.secrets:
        if secret.env and secret.file:
            found[secret.env] = f"{folder}/{secret.file}".encode()
        elif secret.env:
            if b"\0" in secret.value:
                raise ExecutorError(
                    f"the secret {secret.name} has a NUL in it, which no variable can have",
                    hint="have its service account give it as a file",
                )
            found[secret.env] = secret.value
    return found


def memory_folder(key: AttemptKey) -> Path:
    """Where secrets that are files lie for an attempt without a sandbox: in memory, where the machine has that."""
    shared = Path("/dev/shm")  # noqa: S108
    root = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    return root / f"khantui-{os.getuid()}" / key.run / key.stage / str(key.number)


def make_private(folder: Path) -> None:
    """Make such a folder. Raises ExecutorError where somebody else has made one of its name before."""
    root = folder.parents[2]
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()
    if root.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ExecutorError(f"{root} is not this user's own", hint="remove it: secrets are to be written there")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _network(made: Given, grant: Grant, account: str, folder: Folder) -> None:
    made.plan = the_plan = plan(account, grant.network)
    made.proxy_end, stage_end = socket.socketpair()
    # the proxy is to know which process is at the other end, and that may write before the proxy has begun
    made.proxy_end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with stage_end:
        channel = made.pass_on(stage_end.fileno())
    hosts = folder.path / "hosts"
    hosts.write_text(hosts_file(the_plan))
    switch = folder.path / "nsswitch.conf"
    switch.write_text("hosts: files\npasswd: files\ngroup: files\n")
    made.arguments += ["--ro-bind", str(hosts), "/etc/hosts", "--ro-bind", str(switch), "/etc/nsswitch.conf"]
    made.arguments += ["--ro-bind", str(Path(egress.__file__).with_name("inside.py")), INSIDE]
    prefix = Path(sys.base_prefix)
    if not any(prefix.is_relative_to(part) for part in SYSTEM):
        made.arguments += ["--ro-bind", str(prefix), str(prefix)]
    for name, value in variables().items():
        made.arguments += ["--setenv", name, value]
    python = str(prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")
    made.prefix = [python, "-I", "-S", INSIDE, channel, ",".join(map(str, the_plan.places))]


def start_proxy(made: Given, log: Path) -> int | None:
    """Start the proxy, in a session of its own: its pid. It outlives this daemon, and ends with the stage's command."""
    if made.plan is None or made.proxy_end is None:
        return None
    here = fcntl.fcntl(made.proxy_end.fileno(), fcntl.F_DUPFD_CLOEXEC, _APART)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "backend.egress", str(FIRST), made.plan.pack()],
            {"LANG": "C.UTF-8", "PYTHONPATH": str(Path(egress.__file__).parents[2]), **parent.variables(os.environ)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, here, FIRST),
            ],
            setsid=True,
            setsigmask=[],
        )
    except OSError as error:
        raise ExecutorError(f"the proxy of the stage's network cannot be started: {error}") from error
    finally:
        os.close(here)
