"""All runs in mind, as little of each as it takes to find it: its id, and its outline, which it shares with others.

What is looked for among 100,000 runs is then not read from the store, run by run. A list that comes of it holds
candidates: whoever asked reads them and looks again. Until all runs are known, and of the oldest where there are very
many, nothing is known here, and the store is looked through.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from enum import Enum

from msgspec import DecodeError, Struct

from backend.errors import StoreError
from backend.run.ids import is_id, mirror, moment_of
from backend.run.state import Trigger
from backend.store import keys
from backend.store.base import Batch, Store
from backend.store.codec import decode
from backend.store.feed import Feed, Lost, Subscription
from backend.store.records import LATE
from backend.store.run_table import CHUNK, UNKNOWN, Outlines, RunTable, Wanted

log = logging.getLogger(__name__)

MOST_RUNS = 250_000  # that are kept in mind: the newest
PAGE = 2000  # runs that are read together; etcd walks through all that follow, too
SLICE = 200  # of them, after which others have their turn
REST = 0.002  # seconds between two slices
BEHIND = 0.1  # seconds that are waited for changes which this process has made itself
SEPARATOR = "\x1f"  # between the fields of an outline
FIELDS = (
    *("pipeline", "state", "version", "trigger", "schedule", "backfill", "round", "stages", "late", "made_late"),
    *("by", "message"),
)
_LAST = b"~"  # behind all mirrored ids
_PAUSE = 1.0  # seconds after an error of the store


class Verdict(Enum):
    """On the runs that have an outline, whether they are looked for."""

    NO = "no"
    YES = "yes"
    BY_ID = "by id"  # where one of the words is in the id


class Search(Struct, frozen=True):
    """What is looked for. `judge` is given an outline; `words` are what an id may have in it instead."""

    judge: Callable[[str], Verdict]
    words: tuple[str, ...] = ()
    every: bool = False  # all runs


class Brief(Struct):
    """What of a run is in its outline."""

    id: str
    pipeline: str
    version: int
    state: str = "queued"
    created: datetime | None = None
    trigger: Trigger = Trigger()
    stages: int = 0
    message: str = ""
    round: int = 1
    late: bool = False


def outline(run: Brief) -> str:
    """The fields as one text; "" where they cannot be told apart in it."""
    trigger = run.trigger
    made_late = run.created is not None and run.created - moment_of(run.id) > LATE
    first = (
        *(run.pipeline, run.state, str(run.version), trigger.kind, trigger.schedule, trigger.backfill),
        *(str(run.round), str(run.stages), "yes" if run.late else "", "yes" if made_late else "", trigger.by),
    )
    text = SEPARATOR.join(first)
    return f"{text}{SEPARATOR}{run.message}" if text.count(SEPARATOR) == len(first) - 1 else ""


class Roster:
    """Kept in step with the changes of the store while `run` is."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store = store
        self._feed = feed
        self._changes: Subscription | None = None  # once all is known that there was before
        self._forget()

    def _forget(self) -> None:
        self._table = RunTable()
        self._outlines = Outlines()
        self._floor = _LAST  # runs up to this one are known
        self._changes = None

    @property
    def complete(self) -> bool:
        """Whether all runs are known, up to the `floor`."""
        return self._changes is not None

    @property
    def floor(self) -> str:
        """The mirrored id behind which nothing is known; "" where all are."""
        return "" if self._floor == _LAST else self._floor.decode()

    async def run(self) -> None:
        """Follow changes until cancelled."""
        while True:
            try:
                with self._feed.subscribe(keys.RUNS) as changes:
                    await self._load()
                    self._changes = changes
                    async for batch in changes:
                        self._hear(batch)
            except Lost:
                log.info("changes of the store were missed: its runs are looked up again")
            except StoreError as error:
                log.warning("cannot look up all runs: %s", error)
                await asyncio.sleep(_PAUSE)
            finally:
                self._forget()

    async def _load(self) -> None:
        start, revision = keys.RUNS, 0
        while True:
            page = await self._store.page(start, keys.after(keys.RUNS), limit=PAGE, revision=revision)
            revision = page.revision
            for place, item in enumerate(page.items):
                self._put(item.key, item.value)
                if place % SLICE == SLICE - 1:
                    await asyncio.sleep(REST)
            if not page.more:
                return
            start = page.items[-1].key + "\0"
            if len(self._table) >= MOST_RUNS:
                self._floor = page.items[-1].key.removeprefix(keys.RUNS).encode()
                return

    def _hear(self, batch: Batch) -> None:
        for change in batch.changes:
            if change.value is not None:
                self._put(change.key, change.value)
            elif (before := self._table.remove(change.key.removeprefix(keys.RUNS).encode())) is not None:
                self._outlines.give_back(before)
        while len(self._table) > MOST_RUNS + 2 * CHUNK:
            outlines, self._floor = self._table.cut()
            for number in outlines:
                self._outlines.give_back(number)

    def _put(self, key: str, value: bytes) -> None:
        mirrored = key.removeprefix(keys.RUNS)
        if not is_id(mirror(mirrored)) or mirrored.encode() > self._floor:
            return
        try:
            number = self._outlines.take(outline(decode(value, Brief)))
        except DecodeError:
            number = UNKNOWN  # whoever reads it will say so
        before = self._table.put(mirrored.encode(), number)
        if before is not None:
            self._outlines.give_back(before)

    async def current(self) -> int:
        """The revision as of which all is known, this process's own changes among it; 0: not all is known."""
        if self._changes is None:
            return 0
        written, until = self._store.written, asyncio.get_running_loop().time() + BEHIND
        while self._feed.revision < written or (self._changes is not None and self._changes.waiting):
            if asyncio.get_running_loop().time() > until:
                return 0
            await asyncio.sleep(0.001)
        return self._feed.revision if self._changes is not None else 0

    def find(self, search: Search, last: str, end: str, size: int) -> list[str]:
        """The mirrored ids of the next candidates, newest first, behind `last` and before `end` ("": all).

        `size` at most; fewer are all that are known.
        """
        return self._table.find(last.encode(), end.encode() or _LAST, self._wanted(search), size)

    def skip(self, search: Search, number: int) -> tuple[str, int]:
        """Behind which mirrored id the runs are that follow the newest `number` candidates; how many are missing."""
        last, missing = self._table.skip(b"", self._wanted(search), number)
        return last.decode(), missing

    def _wanted(self, search: Search) -> Wanted:
        if search.every:
            return Wanted(set(), set(), (), every=True)
        sure, doubtful = {UNKNOWN}, set[int]()
        for number, text in self._outlines.numbers():
            verdict = search.judge(text)
            if verdict is Verdict.YES:
                sure.add(number)
            elif verdict is Verdict.BY_ID:
                doubtful.add(number)
        return Wanted(sure, doubtful, search.words)
