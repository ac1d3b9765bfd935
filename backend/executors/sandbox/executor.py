"""Runs attempts on this machine, each in a sandbox of its own, with nothing between them and their files.

Logs and exit codes go straight to disk, so attempts outlive the daemon; the next one finds them by their folders.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import datetime
from typing import Any

from backend.accounts.grant import SecretRef
from backend.clock import Clock
from backend.errors import ExecutorError
from backend.executors.base import AttemptKey, AttemptSpec, HeldImage, Observation
from backend.executors.sandbox import command
from backend.executors.sandbox.etc import Etc
from backend.executors.sandbox.folder import Folder
from backend.executors.sandbox.grants import given, memory_folder, start_proxy
from backend.executors.sandbox.limits import Limits, exceeded, tree
from backend.executors.sandbox.profiles import Profile, Profiles, bwrap
from backend.executors.sandbox.words import FULL, not_started, outcome
from backend.layout import Layout
from backend.room import full
from backend.run.state import Reason
from backend.spec.images import IMAGES, Image

log = logging.getLogger(__name__)

LOOK = 0.15  # seconds between two looks at what attempts use
_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP, signal.SIGQUIT, signal.SIGXFSZ]


class Running:
    """An attempt that is under way."""

    def __init__(self, key: AttemptKey, folder: Folder, pid: int, memory: int | None) -> None:
        self.key = key
        self.folder = folder
        self.pid = pid  # of its bubblewrap
        self.memory = memory
        self.pidfd = -1
        self.ending: asyncio.Task[None] | None = None


class SandboxExecutor:
    """The executor `sandbox`. One on a data folder at a time."""

    name = "sandbox"

    def __init__(
        self,
        layout: Layout,
        clock: Clock,
        *,
        sandboxed: bool = True,
        limits: Limits | None = None,
        images: Mapping[str, Image] = IMAGES,
    ) -> None:
        """Raises ExecutorError where there is no bubblewrap; that it works is for `check` to say."""
        self._layout = layout
        self._clock = clock
        self._limits = limits or Limits()
        self._profiles = Profiles(images)
        self._bwrap = bwrap() if sandboxed else None
        self._base = command.system() if sandboxed else []
        self._etc = Etc(layout.sandbox)
        self._preparing = asyncio.Lock()
        self._running: dict[AttemptKey, Running] = {}
        self._seen: list[Observation] = []
        self._news = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._proxies: set[int] = set()  # descriptors of those that this daemon has started

    def missing_tools(self) -> dict[str, str]:
        """The images that cannot run on this machine, and why."""
        return self._profiles.missing()

    async def prepare(self) -> None:
        """See to it that starting an attempt does not hold up everything else."""
        if self._bwrap is None or not self._etc.due:
            return
        async with self._preparing:
            if self._etc.due:
                with contextlib.suppress(OSError):  # whoever needs it will say so
                    await asyncio.to_thread(self._etc.current)

    async def ensure(self, spec: AttemptSpec) -> None:
        """See to it that the attempt runs or has run."""
        await self.prepare()
        if spec.key in self._running:
            return
        folder = Folder(self._layout.attempt(*spec.key))
        while not (folder.path.exists() and self._found(spec, folder)):
            if self._launch(spec, self._profiles.find(spec.image), folder):
                return
            await asyncio.sleep(0.02)  # a daemon that led before is about to start it, or just has

    async def observe(self) -> AsyncIterator[list[Observation]]:
        """What is, as it changes."""
        while True:
            await self._news.wait()
            self._news.clear()
            seen, self._seen = self._seen, []
            yield seen

    async def cancel(self, key: AttemptKey, grace: float = 10.0) -> None:
        """Ask every process to end, and after `grace` seconds make it."""
        running = self._running.get(key)
        if running is None:
            folder = Folder(self._layout.attempt(*key))
            if "exit-code" in folder.said():
                return
            pid = folder.find()
            if pid is None:
                folder.prevent()
                return
            running = self._adopt(key, folder, pid, None)
        if running.ending is None:
            running.folder.blame(Reason.CANCELLED, "cancelled")
            running.ending = asyncio.create_task(self._end(running, grace))

    async def forget(self, key: AttemptKey) -> None:
        """Remove what is left of an ended attempt but its log and outputs."""
        if key in self._running:
            return
        await asyncio.to_thread(Folder(self._layout.attempt(*key)).clear)

    async def sweep(self, active: Collection[str]) -> None:
        """Nothing: what an attempt leaves is its own folder, which goes with its run."""

    async def revoke(self, ref: SecretRef) -> None:
        """Nothing: values are given from memory, and kept nowhere."""

    async def retire(self, account: str) -> bool:
        """Nothing: an account is what an attempt is given when it starts."""
        return True

    async def identity(self, image: str, digest: str = "") -> str:
        """The image's program, as this machine has it."""
        return self._profiles.find(image).identity()

    def requests(self) -> Mapping[tuple[str, str], int]:
        """None: there is no cluster."""
        return {}

    async def held_images(self) -> Mapping[str, HeldImage]:
        """None: there is no cluster."""
        return {}

    async def close(self) -> None:
        """Let go. Attempts that run go on running."""
        for task in (*self._endings, *((self._watch,) if self._watch else ())):
            task.cancel()
        for running in self._running.values():
            if running.ending is not None:
                running.ending.cancel()
            self._release(running)
        self._running.clear()
        for pidfd in self._proxies:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)
        self._proxies.clear()

    # how an attempt begins

    def _found(self, spec: AttemptSpec, folder: Folder) -> bool:
        """Whether the folder says that the attempt runs, has run, or must not; then that is observed."""
        if folder.prevented:
            self._say(Observation(spec.key, "exited", self._clock.now(), None, Reason.CANCELLED, "cancelled"))
            return True
        said = folder.said()
        if "exit-code" in said:
            self._conclude(spec.key, folder, said, folder.ended_at())
            return True
        pid = folder.find()
        if pid is not None:
            self._adopt(spec.key, folder, pid, spec.resources.memory)
            return True
        if not_started(folder):
            self._conclude(spec.key, folder, said, self._clock.now())
        elif spec.seen or folder.begun:
            self._lose(spec.key, folder, said)
        else:
            return False
        return True

    def _launch(self, spec: AttemptSpec, profile: Profile, folder: Folder) -> bool:
        """Start it, unless somebody else starts it or has: whether it was this call. Raises ExecutorError."""
        if spec.grant.refused:
            raise ExecutorError(spec.grant.refused)
        status = -1
        try:
            folder.make()
            status = folder.claim()
            if status < 0 or folder.prevented or folder.begun:
                return False
            pid = self._begin(spec, profile, folder, status)
        except OSError as error:
            hint = "make room, then khantui retry" if full(folder.path) else ""
            raise ExecutorError(f"the sandbox cannot be started: {error}", hint=hint) from error
        finally:
            if status >= 0:
                os.close(status)
        self._adopt(spec.key, folder, pid, spec.resources.memory)
        return True

    def _begin(self, spec: AttemptSpec, profile: Profile, folder: Folder, status: int) -> int:
        """Start its bubblewrap, to which the claimed `status` file is handed on: the pid. Raises OSError."""
        if self._bwrap is None:
            secrets = memory_folder(spec.key)
            argv, environment = command.bare(self._layout, spec, profile, folder, self._limits, secrets)
            return self._spawn(argv, environment, folder, {command.STATUS: status})
        with given(spec.grant, spec.account, folder) as made:
            base = [*self._base, "--ro-bind", str(self._etc.current()), "/etc"]
            argv = command.sandboxed(self._bwrap, base, self._layout, spec, profile, folder, self._limits, made)
            self._keep_proxy(start_proxy(made, folder.log))
            return self._spawn(argv, {}, folder, {command.STATUS: status, **made.descriptors})

    def _spawn(self, argv: list[str], environment: dict[str, str], folder: Folder, more: Mapping[int, int]) -> int:
        """Start a process with the attempt's files, and more descriptors (there -> here): its pid. Raises OSError."""
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(folder.log), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                *((os.POSIX_SPAWN_DUP2, here, there) for there, here in more.items()),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=_SIGNALS,
        )

    def _keep_proxy(self, pid: int | None) -> None:
        """A proxy ends by itself; as its parent, one has to take notice."""
        if pid is None:
            return
        pidfd = os.pidfd_open(pid)
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            self._proxies.discard(pidfd)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

        self._proxies.add(pidfd)
        loop.add_reader(pidfd, ended)

    def _adopt(self, key: AttemptKey, folder: Folder, pid: int, memory: int | None) -> Running:
        """Watch a process that runs, whoever started it."""
        running = self._running[key] = Running(key, folder, pid, memory)
        try:
            running.pidfd = os.pidfd_open(pid)
        except OSError:  # it has ended already
            asyncio.get_running_loop().call_soon(self._exited, running)
            return running
        asyncio.get_running_loop().add_reader(running.pidfd, self._exited, running)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look())
        self._say(Observation(key, "running", self._clock.now()))
        return running

    # how it ends

    def _exited(self, running: Running) -> None:
        self._release(running)
        if self._running.pop(running.key, None) is None:
            return
        if running.ending is not None:
            running.ending.cancel()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(running.pid, os.WNOHANG)
        said = running.folder.said()
        if "exit-code" in said or not_started(running.folder):  # or else no command was run: the log says why
            self._conclude(running.key, running.folder, said, self._clock.now())
        else:
            self._lose(running.key, running.folder, said)

    def _release(self, running: Running) -> None:
        if running.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(running.pidfd)
            os.close(running.pidfd)
            running.pidfd = -1

    def _conclude(self, key: AttemptKey, folder: Folder, said: Mapping[str, Any], at: datetime) -> None:
        """Say how it ended, as soon as nothing of it runs: outputs must not change once they are published."""
        self._drop_secrets(key)
        code = said.get("exit-code", 1)
        reason, words = outcome(code, folder, self._limits)
        seen = Observation(key, "exited", at, code, reason, words)
        child = self._end_namespace(folder, said)
        if child is None:
            self._say(seen)
        else:
            task = asyncio.create_task(self._say_after(child, seen))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

    async def _say_after(self, child: int, seen: Observation) -> None:
        """Say it when the process that this pidfd stands for is gone."""
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(child, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(child)
            os.close(child)
        self._say(seen)

    def _end_namespace(self, folder: Folder, said: Mapping[str, Any]) -> int | None:
        """Kill what a command has left behind, with the init of its namespace: its pidfd, if it is still there."""
        child = said.get("child-pid")
        if self._bwrap is None or not isinstance(child, int):
            return None
        try:
            pidfd = os.pidfd_open(child)
        except OSError:
            return None
        if not folder.owns(child):  # asked when it can be mistaken for no other any more
            os.close(pidfd)
            return None
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return pidfd

    def _lose(self, key: AttemptKey, folder: Folder, said: Mapping[str, Any]) -> None:
        """Its bubblewrap is gone and no exit code is known: whatever is left of it must not go on."""
        if (child := self._end_namespace(folder, said)) is not None:
            os.close(child)
        self._drop_secrets(key)
        if blamed := folder.blamed():
            self._say(Observation(key, "exited", self._clock.now(), None, *blamed))
        else:
            words = f"how it ended could not be written down: {FULL}" if full(folder.path) else ""
            self._say(Observation(key, "lost", self._clock.now(), None, Reason.LOST, words))

    def _drop_secrets(self, key: AttemptKey) -> None:
        if self._bwrap is None:
            folder = memory_folder(key)
            shutil.rmtree(folder, ignore_errors=True)
            for parent in (folder.parent, folder.parent.parent):
                with contextlib.suppress(OSError):  # another attempt of the stage or the run has its own there
                    parent.rmdir()

    def _say(self, seen: Observation) -> None:
        self._seen.append(seen)
        self._news.set()

    async def _end(self, running: Running, grace: float) -> None:
        """SIGTERM to all, and what is still there after the grace is killed with the namespace it lives in."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        # of an attempt that has hardly begun there may be nobody yet who could be asked
        while not self._ask(running) and loop.time() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.sleep(deadline - loop.time())
        self._kill(running)

    def _ask(self, running: Running) -> bool:
        """SIGTERM to all but the sandbox's own processes; False if there is nobody else."""
        root, child = running.pid, running.folder.said().get("child-pid")
        # parents first: a script whose child dies of the signal before it has its own takes that for a failure
        asked = [pid for pid in tree(root) if pid not in (root, child) or self._bwrap is None]
        for pid in asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return bool(asked) and (self._bwrap is None or child is not None)

    def _kill(self, running: Running) -> None:
        child = running.folder.said().get("child-pid")
        doomed = [child] if isinstance(child, int) and self._bwrap is not None else tree(running.pid)
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not isinstance(child, int):
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGKILL)

    async def _look(self) -> None:
        """While anything runs: does any attempt use more than it may?"""
        while self._running:
            await asyncio.sleep(LOOK)
            for running in tuple(self._running.values()):
                seen = tree(running.pid, self._limits.processes)
                beyond = exceeded(seen, self._limits, running.memory)
                if beyond is not None:
                    running.folder.blame(*beyond)
                    self._kill(running)
