"""All logs of this daemon: those that grow, and those that are archived."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from backend.accounts.grant import SecretRef
from backend.accounts.masking import Masker
from backend.clock import Clock
from backend.errors import KhanError, NotFound, VaultError
from backend.layout import Layout
from backend.logs.first_error import FirstError
from backend.logs.index import Counter, IndexFile, load, micros
from backend.logs.masked import Masked, MaskerOf, Scrubber, note, noted, nothing_hidden
from backend.logs.merge import Outline
from backend.logs.merged import LogKey, MergedLogs, no_log
from backend.logs.reader import Line, LogReader
from backend.logs.remote import RemoteLogs
from backend.logs.source import Archive, FileBytes, Live, Source, archive
from backend.objects import Bucket

log = logging.getLogger(__name__)

LOOK = 0.25  # seconds between two looks at the logs that grow
FOLLOW = 0.1  # and by those who follow one; or two looks, while somebody follows several
FETCHED_AT_ONCE = 16  # outlines of archives in an object store


class Grown(NamedTuple):
    """Up to which byte a log was written at a time, in microseconds since 1970."""

    size: int
    micros: int


EVER = 1 << 62  # a size that no log has: up to its end


class Tracked:
    """A log that grows, and its index."""

    def __init__(self, path: Path, index: Path, masker: Masker) -> None:
        self.live = Live(path, index)
        self._scrubber = Scrubber(path, masker) if masker else None
        self.counter = Counter(load(index, self.live.size))
        self._index = IndexFile(index, len(self.counter.marks) - 1)
        self.first_error = FirstError(path)

    def look(self, grown: Iterable[Grown]) -> bool:
        """Mark what has come since the last look: whether there was more."""
        size = self.live.size
        made = [mark for end, at in grown for mark in self.counter.extend(self.live, min(end, size), at)]
        if made:
            self._index.append(made)
        self.first_error.look(self.counter.marks)
        if self._scrubber is not None:
            self._scrubber.scrub()
        return bool(made)

    def close(self) -> None:
        """Let go of both."""
        self.live.close()
        self._index.close()


class LogStore:
    """Opens logs, indexes those that grow while `run` runs, and archives those that have ended."""

    def __init__(
        self, layout: Layout, clock: Clock, bucket: Bucket | None = None, masker_of: MaskerOf = nothing_hidden
    ) -> None:
        """`bucket` is the object store where archived logs are kept, if it is not the data folder.

        `masker_of` hides secrets that attempts were given.
        """
        self._masker_of = masker_of
        self._layout = layout
        self._clock = clock
        self._wanted: set[LogKey] = set()
        self._tracked: dict[LogKey, Tracked] = {}
        self._told: dict[LogKey, list[Grown]] = {}  # how logs grew whose writer says so, since the last look
        self._ended: set[LogKey] = set()  # nothing more will come, though they are not archived yet
        self._any = asyncio.Event()
        self.grown = asyncio.Event()  # set by the next look that finds more; then there is another
        self._waiting = 0  # how many wait for that
        self.archived_bytes = 0  # of logs, since the start
        self._remote = RemoteLogs(bucket) if bucket else None
        self.merged = MergedLogs(lambda key: self.reader(*key), self.outline, FETCHED_AT_ONCE if bucket else 1)

    async def run(self) -> None:
        """Index what grows, and archive what an earlier daemon left, until cancelled."""
        try:
            await self._run()
        finally:
            for key in tuple(self._tracked):
                self.untrack(*key)

    async def _run(self) -> None:
        while True:
            await self._any.wait()
            now = micros(self._clock.now())
            more = False
            for key in tuple(self._wanted):
                try:
                    more = self._look(key, now) or more
                except OSError as error:
                    log.warning("the log of %s cannot be indexed: %s", key, error)
                    self.untrack(*key)
            pause = FOLLOW if self._waiting else LOOK
            if more:
                self.grown.set()
                self.grown = asyncio.Event()
            if not self._wanted:
                self._any.clear()
            await asyncio.sleep(pause)

    async def more(self, grown: asyncio.Event) -> None:
        """Wait until `grown`, which was taken before the logs were read last, is set; but not for long."""
        self._waiting += 1
        try:
            async with asyncio.timeout(LOOK):
                await grown.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1

    def track(self, run: str, stage: str, number: int, secrets: Sequence[SecretRef] = ()) -> None:
        """An attempt is about to write its log, which may show these secrets: they are hidden. Raises OSError."""
        if secrets:
            note(self._layout.hidden_in_log(run, stage, number), secrets)
        self._wanted.add(LogKey(run, stage, number))
        self._any.set()

    def grew(self, run: str, stage: str, number: int, size: int, micros: int) -> None:
        """A log was written up to that size at that time, which its writer knows better than whoever looks."""
        key = LogKey(run, stage, number)
        if key in self._wanted:
            self._told.setdefault(key, []).append(Grown(size, micros))

    def untrack(self, run: str, stage: str, number: int) -> None:
        """It is not looked at any more."""
        key = LogKey(run, stage, number)
        self._wanted.discard(key)
        self._told.pop(key, None)
        if tracked := self._tracked.pop(key, None):
            tracked.close()

    def reader(self, run: str, stage: str, number: int, *, ended: bool = False) -> LogReader:
        """The log of an attempt, wherever it is; blocks the thread. Raises NotFound, ArtifactError.

        `ended`: the attempt is known to have, also where another daemon runs it.
        """
        for _ in range(2):  # it may be archived between the two looks
            try:
                return LogReader(self._archived(LogKey(run, stage, number)), complete=True)
            except FileNotFoundError:
                pass
            try:
                path = self._layout.live_log(run, stage, number)
                tracked = self._tracked.get(LogKey(run, stage, number))
                live = (
                    Live(path, list(tracked.counter.marks), tracked.first_error.line)
                    if tracked
                    else Live(path, _index(path))
                )
                # asked last, since it may be archived meanwhile
                complete = ended or self._is_over(LogKey(run, stage, number))
                return LogReader(self._masked(LogKey(run, stage, number), live, complete), complete=complete)
            except FileNotFoundError:
                continue
        if self._remote is not None:
            try:
                return LogReader(self._remote.open(LogKey(run, stage, number)), complete=True)
            except FileNotFoundError:
                pass
        raise no_log(LogKey(run, stage, number))

    def _masked(self, key: LogKey, live: Live, complete: bool) -> Source:
        """The log without its secrets. Raises VaultError where it is not known what they are."""
        try:
            masker = self._masker_of_log(key)
        except BaseException:
            live.close()
            raise
        return Masked(live, masker, growing=not complete) if masker else live

    def _masker_of_log(self, key: LogKey) -> Masker:
        try:
            refs = noted(self._layout.hidden_in_log(*key))
        except (OSError, ValueError) as error:
            raise VaultError(f"what the log of {key} must not show cannot be read: {error}") from error
        return self._masker_of(refs) if refs else Masker()

    def _archived(self, key: LogKey) -> Archive:
        path = self._layout.archived_log(*key)
        return Archive(FileBytes(path), str(path))

    def outline(self, key: LogKey) -> Outline | None:
        """What there is of a log, as far as its index tells; None if there is no log."""
        if key not in self._ended and (tracked := self._tracked.get(key)):
            marks = tracked.counter.marks
            last = marks[-1]
            return Outline(last.offset, last.line, False, False, marks, tracked.first_error.line)
        try:
            with self.reader(*key) as reader:
                if reader.complete:
                    source = reader.source
                    error = reader.first_error()
                    return Outline(source.size, reader.count(), True, source.archived, source.marks, error)
                lines, now = reader.source.lines(), micros(self._clock.now())
                marks = [m if m.micros or not m.offset else m._replace(micros=now) for m in reader.source.marks]
                return Outline(marks[-1].offset, lines, False, False, marks)
        except NotFound:
            return None

    def end(self, run: str, stage: str, number: int) -> None:
        """The attempt has ended: nothing more will come, and who follows its log need not wait. `finish` it later."""
        self._ended.add(LogKey(run, stage, number))

    async def finish(self, run: str, stage: str, number: int) -> None:
        """The attempt has ended: archive its log. Doing it again changes nothing."""
        key = LogKey(run, stage, number)
        now = micros(self._clock.now())
        if key in self._tracked or key in self._told:
            self._look(key, now)
        live = self._layout.live_log(*key)
        tracked = self._tracked.get(key)
        first_error = tracked.first_error if tracked else FirstError(live)
        self.untrack(*key)
        try:
            size = live.stat().st_size
        except FileNotFoundError:
            self._ended.discard(key)
            return
        archived = self._layout.archived_log(*key)
        try:
            await asyncio.to_thread(self._scrub, key)
            if self._remote is None:
                await asyncio.to_thread(_archive, live, archived, first_error, now, remove=True)
            else:
                await asyncio.to_thread(_archive, live, archived, first_error, now)
                if archived.exists():
                    await self._remote.keep(key, archived)
                    archived.unlink(missing_ok=True)
                await asyncio.to_thread(_remove, live)
        except BaseException:
            self._ended.add(key)
            raise
        self.archived_bytes += size
        self._ended.discard(key)

    def _scrub(self, key: LogKey) -> None:
        """Overwrite what is left of secrets in a log that has ended; then it is a log like any other."""
        if masker := self._masker_of_log(key):
            with contextlib.suppress(FileNotFoundError):  # another call was faster
                Scrubber(self._layout.live_log(*key), masker).scrub()
        self._layout.hidden_in_log(*key).unlink(missing_ok=True)

    async def remove(self, run: str) -> None:
        """Remove the archived logs of a run. No error if there are none. Raises ArtifactError."""
        await asyncio.to_thread(shutil.rmtree, self._layout.logs / run, True)
        if self._remote is not None:
            await self._remote.remove(run)

    async def follow(self, run: str, stage: str, number: int, start: int = 1) -> AsyncIterator[list[Line]]:
        """Lines from `start` on, as they come, until the log has ended. Waits for a log that is not there yet."""
        key = LogKey(run, stage, number)
        while True:
            try:
                reader = await asyncio.to_thread(self.reader, *key)
                break
            except NotFound:
                await asyncio.sleep(FOLLOW)
        with reader:  # the file can be read to its end even when it has been archived
            while True:
                ended = reader.complete or self._is_over(key)  # asked first: what is read then is all there is
                reader.complete = ended
                reader.source.lines(micros(self._clock.now()))
                while lines := await asyncio.to_thread(reader.lines, start, 2000, whole=True):
                    start = lines[-1].number + 1
                    yield lines
                if ended:
                    return
                await asyncio.sleep(FOLLOW)

    def _is_over(self, key: LogKey) -> bool:
        return key in self._ended or not self._layout.live_log(*key).exists()

    async def sweep(self, active: Collection[str]) -> list[LogKey]:
        """Archive what an earlier daemon could not: logs of runs (ids) that are not `active`. Which those were."""
        archived = []
        for key in await asyncio.to_thread(self._left):
            if key.run not in active and key not in self._wanted:
                try:
                    await self.finish(*key)
                    archived.append(key)
                except (KhanError, OSError) as error:
                    log.warning("the log of %s stays where it is: %s", key, error)
        return archived

    def _left(self) -> list[LogKey]:
        root = self._layout.attempts
        found = []
        for path in root.glob("*/*/*/log"):
            run, stage, number, _ = path.relative_to(root).parts
            if number.isdigit():
                found.append(LogKey(run, stage, int(number)))
        return found

    def _look(self, key: LogKey, now: int) -> bool:
        tracked = self._tracked.get(key)
        if tracked is None:
            path = self._layout.live_log(*key)
            if not path.exists():
                return False
            try:
                masker = self._masker_of_log(key)
            except VaultError as error:
                log.warning("%s", error)
                masker = Masker()
            tracked = self._tracked[key] = Tracked(path, _index(path), masker)
        told = self._told.get(key)
        more = tracked.look([Grown(EVER, now)] if told is None else told)
        if told:
            self._told[key] = []
        return more


def _index(path: Path) -> Path:
    return path.with_name("log.idx")


def _archive(live: Path, target: Path, first_error: FirstError, now: int, *, remove: bool = False) -> None:
    """Write a log that has ended as an archive, and then, with `remove`, remove what it was made of."""
    index = _index(live)
    if not target.exists():
        try:
            source = Live(live, index)
        except FileNotFoundError:  # another call was faster
            return
        try:
            source.lines(now)  # marks what is not in the index yet
            line = first_error.line
            if line is None:
                line, _ = LogReader(source, complete=True).find_error(first_error.looked, source.size)
            archive(source, target, line)
        finally:
            source.close()
    if remove:
        _remove(live)


def _remove(live: Path) -> None:
    for path in (live, _index(live), live.with_name("log.at")):
        path.unlink(missing_ok=True)
