"""An etcd of our own: a child process on unix sockets, with no port open, restarted when it dies, gone when we are.

Its folder is its working directory, since etcd takes only relative paths for sockets; a path too long for a socket is
reached through a short link.

An etcd that is killed within the first tenth of a second of its life can leave data on which none ever starts again.
So a folder is marked as `fresh`, and nobody can reach its etcd, until it has led once; what a fresh folder holds is
nothing that anybody was promised, and is put aside.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from backend.clock import SystemClock
from backend.errors import StoreError, StoreUnavailable
from backend.room import full
from backend.short_path import within_reach
from backend.store import bound
from backend.store.etcd import EtcdStore
from backend.store.server_binary import EtcdBinary
from backend.store.upkeep import Upkeep

log = logging.getLogger(__name__)

RESTORED = "data.restored"  # what a restore has made, until it takes the place of `data`
CLIENT, PEER, HIDDEN = "c.sock:0", "p.sock:0", "h.sock:0"
LARGEST_LOG = 8 << 20
QUOTA = 4 << 30
SOON = 1.0  # seconds until it is tried again to start one
TRIES = 4  # an etcd that ends so often before it ever listens never will


class FolderInUse(StoreError):
    """Another process runs an etcd on the folder."""


class EmbeddedEtcd:
    """The etcd of one folder, which it locks while it runs."""

    def __init__(self, folder: Path, binary: EtcdBinary, *, quota: int = QUOTA) -> None:
        """`quota`: the most bytes its database may have."""
        self._folder = folder.absolute()
        self._binary = binary
        self._quota = quota
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._lock = -1  # descriptor
        self._fresh = self._folder / "fresh"
        self.restarts = 0

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"unix:{within_reach(self._folder, CLIENT) / CLIENT}"

    async def start(self) -> None:
        """Start it and keep it running. Returns at once; a client waits for it by its first call. Raises StoreError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        self._lock = _lock(self._folder)
        try:
            self._stamp()
            await self._end_orphan()
            if not (self._folder / "data").exists():
                if (self._folder / RESTORED).exists():
                    raise StoreError(f"a restore into {self._folder} was interrupted", hint="run it again")
                self._fresh.touch()
        except BaseException:
            self._release_lock()
            raise
        self._supervisor = asyncio.create_task(self._supervise())
        self._upkeep = asyncio.create_task(self._look_after())

    async def ready(self, limit: float = 60.0) -> None:
        """Wait until it answers, at most `limit` seconds. Raises StoreUnavailable with the last words of its log."""
        end = asyncio.get_running_loop().time() + limit
        while True:
            if self._supervisor is not None and self._supervisor.done():
                self._supervisor.result()
            if await self._ask(CLIENT, "/version"):
                return
            if self.restarts >= TRIES or asyncio.get_running_loop().time() > end:
                raise StoreUnavailable(f"etcd did not start: {self._last_words()}", hint=f"see {self._folder}/etcd.log")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """End it, politely first."""
        tasks = [task for task in (self._supervisor, self._upkeep) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(3):
                    await process.wait()
            except TimeoutError:  # it waits for watches that nobody ends; to be killed does it no harm
                process.kill()
                await process.wait()
        if self._lock >= 0:
            (self._folder / "pid").unlink(missing_ok=True)
            if (link := within_reach(self._folder, CLIENT)) != self._folder:
                link.unlink()
            self._release_lock()

    def _release_lock(self) -> None:
        os.close(self._lock)
        self._lock = -1

    async def _supervise(self) -> None:
        pause = 0.1
        while True:
            began = asyncio.get_running_loop().time()
            try:
                code = await self._live()
            except OSError as error:  # a full disk, most often: there may be room later
                log.warning("etcd cannot be started for now: %s", error)
                await asyncio.sleep(SOON)
                continue
            self.restarts += 1
            steady = asyncio.get_running_loop().time() - began > 10
            pause = 0.1 if steady else min(pause * 2, 5.0)
            log.warning("etcd has ended (%d) and is started again: %s", code, self._last_words())
            await asyncio.sleep(pause)

    async def _live(self) -> int:
        """Start one, and wait for its end: its exit code."""
        for name in (CLIENT, PEER, HIDDEN):  # etcd before 3.6 refuses to start over a stale socket
            (self._folder / name).unlink(missing_ok=True)
        process = self._process = await self._spawn()
        try:
            with contextlib.suppress(OSError):  # no room: it still ends with us
                _write(self._folder / "pid", str(process.pid))
            if self._fresh.exists():
                await self._show(process)
        except OSError:
            process.kill()
            raise
        return await process.wait()

    async def _look_after(self) -> None:
        store = EtcdStore([self.target])
        try:
            await Upkeep(store, SystemClock()).run()
        finally:
            await store.close()

    async def _spawn(self) -> asyncio.subprocess.Process:
        path = self._folder / "etcd.log"
        if path.exists() and path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_suffix(".log.1"))
        if self._fresh.exists() and (data := self._folder / "data").exists():
            unfinished = self._folder / "data.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            data.rename(unfinished)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}  # those are etcd's own flags
        with path.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", bound.__file__, str(os.getpid())),
                str(self._binary.path),
                *self._flags(HIDDEN if self._fresh.exists() else CLIENT),
                cwd=self._folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _show(self, process: asyncio.subprocess.Process) -> None:
        """Once a fresh etcd leads, its folder is fresh no more, and only then it can be found."""
        while b'"true"' not in await self._ask(HIDDEN, "/health"):
            if process.returncode is not None:
                return
            await asyncio.sleep(0.01)
        self._fresh.unlink()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            (self._folder / HIDDEN).rename(self._folder / CLIENT)

    async def _ask(self, name: str, path: str) -> bytes:
        """What etcd answers over HTTP on one of its sockets; nothing if it does not."""
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_unix_connection(str(within_reach(self._folder, CLIENT) / name))
                try:
                    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                    return await reader.read()
                finally:
                    writer.close()
        except OSError:
            return b""

    def _flags(self, socket: str) -> list[str]:
        flags = {
            "name": "embedded",
            "data-dir": "data",
            "listen-client-urls": f"unix://{socket}",
            "enable-grpc-gateway": "false",
            "advertise-client-urls": f"unix://{CLIENT}",
            "listen-peer-urls": f"unix://{PEER}",
            "initial-advertise-peer-urls": "http://localhost:2380",
            "initial-cluster": "embedded=http://localhost:2380",
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": "1h",
            "quota-backend-bytes": str(self._quota),
            "snapshot-count": "10000",
            "max-request-bytes": str(4 << 20),
            "log-level": "warn",
        }
        if self._binary.version < (3, 5, 0):
            flags["logger"] = "zap"
        return [f"--{name}={value}" for name, value in flags.items()]

    def _stamp(self) -> None:
        """Note which version writes the folder, and refuse one that would damage it."""
        path = self._folder / "etcd.version"
        if path.exists():
            wrote, version = self._wrote(path), self._binary.version
            if version[0] != wrote[0] or version[1] - wrote[1] not in (0, 1):
                old, new = ".".join(map(str, wrote)), ".".join(map(str, version))
                raise StoreError(
                    f"the data in {self._folder} were written by etcd {old}; {self._binary.path} is {new}",
                    hint="etcd goes up by one minor version at a time, never down: set KHANTUI_ETCD to one that fits",
                )
        _write(path, ".".join(map(str, self._binary.version)))

    def _wrote(self, path: Path) -> tuple[int, ...]:
        said = path.read_text(errors="replace").strip()
        try:
            major, minor, patch = said.split(".")
            return int(major), int(minor), int(patch)
        except ValueError:
            raise StoreError(
                f"{path} should name the etcd that wrote the data beside it, and says {said[:40]!r}",
                hint="write that version into it, e.g. 3.6.16, if you know it; or delete it",
            ) from None

    async def _end_orphan(self) -> None:
        """End the etcd that a killed daemon has left: it holds the folder and the sockets."""
        try:
            pid = int((self._folder / "pid").read_text())
            here = Path(f"/proc/{pid}/cwd").readlink() == self._folder.resolve()
            ours = b"data-dir" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return
        if not (here and ours):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # safe at any moment, and faster than asking
            pidfd = os.pidfd_open(pid)
            gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(pidfd, gone.set)
            try:
                async with asyncio.timeout(10):
                    await gone.wait()
            finally:
                asyncio.get_running_loop().remove_reader(pidfd)
                os.close(pidfd)

    def _last_words(self) -> str:
        """The last line of its log, as a person would say it."""
        if full(self._folder):
            return f"the disk of {self._folder} is full"
        try:
            with (self._folder / "etcd.log").open("rb") as log_file:
                log_file.seek(max(0, log_file.seek(0, os.SEEK_END) - 8192))
                line = log_file.read().decode(errors="replace").strip().rsplit("\n", 1)[-1]
        except OSError:
            line = ""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            line = f"{said['msg']}: {said['error']}" if "error" in said else said["msg"]
        return line[-300:] or "it has said nothing"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every etcd away from the folder. Raises FolderInUse."""
    lock = _lock(folder)
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    """Hold the folder: a second etcd would take the sockets from the first. The descriptor that holds it."""
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise FolderInUse(
            f"an etcd runs on {folder} already", hint="stop the daemon that it belongs to, or use another folder"
        ) from None
    return lock


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)
