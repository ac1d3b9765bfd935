"""Copies what containers write, through the API server, to the attempts' log files: no gap, no repeat.

From there `backend.logs` serves and archives it like any other log. Beside each log lies a small file that says how
far the copy has come (see `resume`). It is written after the log, so that a daemon that is killed between the two
leaves a log that is longer than it says: the next one cuts it and goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from backend.errors import ClusterError, ClusterForbidden, ClusterRefused, ObjectMissing
from backend.executors.base import AttemptKey
from backend.executors.kubernetes.resume import SLOT, WHOLE, Answer, Position, nanoseconds, note, pack, unpack
from backend.kube import PODS, Kube
from backend.layout import Layout

log = logging.getLogger(__name__)

PARTS = ("fetch", "stage", "publish")  # an attempt's containers, in the order in which they run
MOST = 256  # logs that are followed at once; others are read when their containers have ended
SILENCE = 300.0  # seconds without a byte after which a follower asks again: the connection may be dead
PATIENCE = 600.0  # seconds that the end of a log is waited for while its node does not answer
CATCH_UP = 2.0  # seconds for a follower that is behind to get on by itself
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0

Grew = Callable[[AttemptKey, int, int], None]


class LogUnwritable(Exception):
    """The log file cannot be written: the disk is full, or the folder is gone."""


class LogTrouble(Exception):
    """What the kubelet said instead of a log."""


class Last(NamedTuple):
    """The last entry of a container's log: its stamp, and how many bytes of content it has."""

    stamp: int
    size: int
    ended: bool  # with a line break


class Copy:
    """An attempt's log file and its position. One process at a time has it open."""

    def __init__(self, layout: Layout, key: AttemptKey) -> None:
        """Raises OSError. What an earlier daemon wrote beyond its position is cut off."""
        self.key = key
        path = layout.live_log(*key)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._sidecar = os.open(layout.log_position(*key), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            os.close(self._log)
            raise
        self.position, self._writes = unpack(os.pread(self._sidecar, 2 * SLOT, 0))
        size = os.fstat(self._log).st_size
        if size < self.position.size:  # the machine went down before the log was on disk: all of it again
            self.position = Position()
        if size > self.position.size:
            os.ftruncate(self._log, self.position.size)

    def take(self, data: bytes, position: Position) -> None:
        """Append `data`; then `position` holds. Raises LogUnwritable."""
        try:
            at, rest = self.position.size, memoryview(data)
            while rest:
                written = os.pwrite(self._log, rest, at)
                at, rest = at + written, rest[written:]
            self._writes += 1
            os.pwrite(self._sidecar, pack(position, self._writes), SLOT * (self._writes % 2))
        except OSError as error:
            raise LogUnwritable(f"the log of {self.key} cannot be written: {error}") from error
        self.position = position

    def begin(self, part: int) -> None:
        """Go on with another of the attempt's containers; what a helper says is marked as its own."""
        if part <= self.position.part:
            return
        text = b"" if _name(part) == "stage" else self._line(f"{_name(part)} said:")
        self.take(text, Position(part=part, size=self.position.size + len(text)))

    def say(self, text: str) -> None:
        """Append a line of Khantui's own, as the container's last."""
        data = self._line(text)
        self.take(data, self.position._replace(size=self.position.size + len(data), open=WHOLE, whole=True))

    def end(self, part: int) -> None:
        """Nothing more will come of this container."""
        known = self.position if self.position.part == part else Position(part=part, size=self.position.size)
        self.take(b"", known._replace(whole=True))

    def past(self, part: int) -> bool:
        """Whether everything of that container is here."""
        return self.position.part > part or (self.position.part == part and self.position.whole)

    def at(self, last: Last) -> bool:
        """Whether this is all, if the container's log ends like that."""
        known = self.position
        return known.last == last.stamp and known.open == (WHOLE if last.ended else last.size)

    def close(self) -> None:
        """Let go of both files."""
        os.close(self._log)
        os.close(self._sidecar)

    def _line(self, text: str) -> bytes:
        return (b"" if self.position.open == WHOLE else b"\n") + note(text)


class Followed:
    """A log that is being copied."""

    def __init__(self, copy: Copy, pod: str) -> None:
        self.copy = copy
        self.pod = pod
        self.task: asyncio.Task[None] | None = None
        self.grown = asyncio.Event()
        self.streaming = False  # the follower is being answered
        self.ended_well = False  # the follower's last answer came to its end

    async def stop(self) -> None:
        """No more is copied once this has returned."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})
            self.task = None


class ContainerLogs:
    """Copies the logs of attempts' pods. One task for each log that is followed, and bounded memory for each."""

    def __init__(self, kube: Kube, layout: Layout, grew: Grew | None = None) -> None:
        """`grew(attempt, size, micros)` is told how far a log has come, and when what lies before was written."""
        self._kube = kube
        self._layout = layout
        self._grew = grew or (lambda key, size, micros: None)
        self._followed: dict[AttemptKey, Followed] = {}
        self._places = asyncio.Semaphore(MOST)

    def follow(self, key: AttemptKey, pod: str) -> None:
        """The attempt's stage runs in that pod: copy what it writes until `finish`. Again, it changes nothing."""
        if key in self._followed:
            return
        try:
            followed = self._open(key, pod)
        except OSError as error:
            log.error("the log of %s cannot be written: %s", key, error)  # `finish` tries again
            return
        part = PARTS.index("stage") + 1
        if not followed.copy.past(part):
            followed.task = asyncio.create_task(self._follow(followed, part))

    async def finish(self, key: AttemptKey, pod: str, containers: Sequence[str], *, patience: float = PATIENCE) -> None:
        """Those containers (of PARTS, in their order) have ended: return when all they wrote is in the log.

        What cannot be had is said in the log, after `patience` seconds if its node does not answer. One call at a
        time for each attempt; one that finds everything done asks for nothing.
        """
        deadline = asyncio.get_running_loop().time() + patience
        try:
            followed = self._followed.get(key) or self._open(key, pod)
            for name in containers:
                await self._finish(followed, PARTS.index(name) + 1, deadline)
        except (OSError, LogUnwritable) as error:
            log.error("the log of %s cannot be written: %s", key, error)
        finally:
            await self._release(key)

    async def close(self) -> None:
        """Stop copying. The next daemon goes on where this one stops."""
        for key in tuple(self._followed):
            await self._release(key)

    def _open(self, key: AttemptKey, pod: str) -> Followed:
        copy = Copy(self._layout, key)
        self._followed[key] = followed = Followed(copy, pod)
        if copy.position.newest:
            self._grew(key, copy.position.size, copy.position.newest // 1000)
        return followed

    async def _release(self, key: AttemptKey) -> None:
        if followed := self._followed.pop(key, None):
            await followed.stop()
            followed.copy.close()

    async def _follow(self, followed: Followed, part: int) -> None:
        """Copy for ever: an answer that ends is asked for again, since the kubelet or the API server may be gone."""
        pause = _FIRST_PAUSE
        while True:
            before = followed.copy.position
            try:
                async with self._places:
                    followed.streaming = True
                    await self._read(followed, part, follow=True)
                followed.ended_well = True
            except (ClusterError, LogTrouble, LogUnwritable) as error:
                followed.ended_well = False
                log.info("the log of %s: %s; again in %.1f s", followed.copy.key, error, pause)
            finally:
                followed.streaming = False
                followed.grown.set()
            if followed.copy.position != before:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _finish(self, followed: Followed, part: int, deadline: float) -> None:
        copy, pause = followed.copy, _FIRST_PAUSE
        while not copy.past(part):
            try:
                if await self._to_end(followed, part):
                    copy.end(part)
                    return
                continue
            except ObjectMissing:
                await self._caught_up(followed, None)  # what is being followed goes on a little
                await followed.stop()
                if followed.ended_well:
                    copy.end(part)
                else:
                    copy.say("the end of this log may be missing: its pod was deleted before all was read")
                return
            except (ClusterForbidden, ClusterRefused) as error:
                await followed.stop()
                copy.say(f"the rest of this log cannot be read: {error.message}")
                return
            except (ClusterError, LogTrouble, LogUnwritable) as error:
                if asyncio.get_running_loop().time() > deadline:
                    await followed.stop()
                    copy.say(f"the end of this log is lost: {error}")
                    return
                log.info("the end of the log of %s: %s; again in %.1f s", copy.key, error, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _to_end(self, followed: Followed, part: int) -> bool:
        """Read all that there is; whether that is all there will be.

        An answer that breaks off looks like one that ends, since the API server hides what happens to the kubelet. So
        the last entry is asked for by itself, or else the log must twice be found to have nothing new.
        """
        copy = followed.copy
        last = await self._last(followed.pod, part)
        if last is not None or _name(part) == "stage":
            copy.begin(part)
        elif copy.position.part < part:
            return True  # a helper that said nothing
        if copy.at(last) if last else not copy.position.last:
            await followed.stop()
            return True
        if followed.task is not None:
            await self._caught_up(followed, last)
            await followed.stop()
            if last and copy.at(last):
                return True
        if last and last.stamp // 1_000_000_000 < copy.position.asked:
            copy.position = copy.position._replace(since=0, had=-1)  # the node's clock was set back: all of it again
        before = copy.position
        caught_up = await self._read(followed, part, follow=False)
        return bool(last and copy.at(last)) or (caught_up and copy.position == before)

    async def _caught_up(self, followed: Followed, last: Last | None) -> None:
        """Let the follower go on for as long as it gets anywhere, up to the last entry."""
        while followed.streaming and not (last and followed.copy.at(last)):
            followed.grown.clear()
            try:
                async with asyncio.timeout(CATCH_UP):
                    await followed.grown.wait()
            except TimeoutError:
                return

    async def _read(self, followed: Followed, part: int, *, follow: bool) -> bool:
        """Copy one answer, up to its end: whether it came past what was there. Raises ClusterError, LogTrouble."""
        copy = followed.copy
        copy.begin(part)
        answer = Answer(copy.position)
        params: dict[str, str | int] = {"container": _name(part), "timestamps": "true"}
        if follow:
            params["follow"] = "true"
        if asked := copy.position.asked:
            params["sinceTime"] = datetime.fromtimestamp(asked, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        async with self._kube.stream("get", PODS, followed.pod, "log", params, silence=SILENCE) as content:
            while data := await content.readany():
                new = answer.feed(data)
                if answer.position != copy.position:
                    copy.take(new, answer.position)
                    for size, stamp in (*answer.marks, (answer.position.size, answer.position.newest)):
                        self._grew(copy.key, size, stamp // 1000)
                    followed.grown.set()
                if answer.trouble:
                    raise LogTrouble(answer.trouble)
        return not answer.seeking

    async def _last(self, pod: str, part: int) -> Last | None:
        """The last entry of a container's log; None if there is none. Raises ClusterError, LogTrouble."""
        params: dict[str, str | int] = {"container": _name(part), "timestamps": "true", "tailLines": 1}
        found = bytearray()
        async with self._kube.stream("get", PODS, pod, "log", params, silence=SILENCE) as content:
            while data := await content.readany():
                found += data
        if not found:
            return None
        stamp, space, content_ = bytes(found).partition(b" ")
        known = nanoseconds(stamp)
        if known is None or not space:
            raise LogTrouble(found[:300].decode("utf-8", "replace"))
        return Last(known, len(content_), content_.endswith(b"\n"))


def _name(part: int) -> str:
    return PARTS[part - 1]
