"""Reads and transactions that are asked for while others are under way are made together, as one.

One of etcd's transactions costs much the same whatever is in it: a request, an entry of its log, an fsync. What one
caller wants is done at once; what others want meanwhile goes into the next. Each still gets an answer of its own: if
any condition of a joint transaction does not hold, every part of it is tried by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice

from backend.errors import StoreUnavailable
from backend.store.base import MOST_CHANGES, Condition, Delete, KeyValue, Put
from backend.store.calls import Ambiguous

AT_ONCE = 1  # transactions under way
MOST_READ = 128  # keys in one read
LARGEST = 512 << 10  # bytes of values in a joint one; etcd takes 1.5 MiB in a request

Make = Callable[[list[Condition], list[Put | Delete]], Awaitable[int | None]]


class Reads:
    """Single keys that are asked for, of one store."""

    def __init__(self, read: Callable[[list[str]], Awaitable[list[KeyValue | None]]]) -> None:
        """`read` reads several."""
        self._read = read
        self._waiting: dict[str, asyncio.Future[KeyValue | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: str) -> KeyValue | None:
        """The key's value, as it is now or later."""
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
            if self._reading is None:
                self._reading = asyncio.create_task(self._go_on())
        return await asyncio.shield(answer)  # others may wait for it too

    async def _go_on(self) -> None:
        try:
            while self._waiting:
                asked = dict(islice(self._waiting.items(), MOST_READ))
                for key in asked:
                    del self._waiting[key]
                try:
                    found = await self._read(list(asked))
                except Exception as error:
                    for answer in asked.values():
                        answer.set_exception(error)
                        answer.exception()  # whoever asked may have gone meanwhile
                    continue
                for answer, item in zip(asked.values(), found, strict=True):
                    answer.set_result(item)
        finally:
            self._reading = None


class _Part:
    """What one caller wants."""

    def __init__(self, conditions: list[Condition], changes: list[Put | Delete]) -> None:
        self.conditions = conditions
        self.changes = changes
        self.size = sum(len(change.value) for change in changes if isinstance(change, Put))
        self.answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()


class _Joint:
    """Parts that may be made as one: they neither write nor read what another of them writes."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.conditions: dict[Condition, None] = {}
        self.changes: list[Put | Delete] = []
        self._size = 0
        self._read: set[str] = set()
        self._written: set[str] = set()

    def take(self, part: _Part) -> bool:
        """Have it in here too; False if it does not go with the others."""
        reads = {condition.key for condition in part.conditions}
        writes = {change.key for change in part.changes}
        if self.parts and not self._goes(part, reads, writes):
            return False
        self.parts.append(part)
        self.conditions.update(dict.fromkeys(part.conditions))
        self.changes += part.changes
        self._size += part.size
        self._read |= reads
        self._written |= writes
        return True

    def _goes(self, part: _Part, reads: set[str], writes: set[str]) -> bool:
        if len(self.changes) + len(part.changes) > MOST_CHANGES or self._size + part.size > LARGEST:
            return False
        if len(self.conditions) + len(part.conditions) > MOST_CHANGES:
            return False
        if any(isinstance(change, Delete) and change.prefix for change in (*self.changes, *part.changes)):
            return False  # which keys it writes is not known
        return not (writes & self._written or writes & self._read or reads & self._written)


class Gathering:
    """The transactions of one store."""

    def __init__(self, make: Make) -> None:
        """`make` makes one transaction: its revision, or None if a condition does not hold."""
        self._make = make
        self._waiting: deque[_Part] = deque()
        self._under_way = 0
        self._called = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def make(self, conditions: list[Condition], changes: list[Put | Delete]) -> int | None:
        """Make a transaction, maybe together with others: the revision made, or None if a condition does not hold."""
        part = _Part(conditions, changes)
        self._waiting.append(part)
        if not self._called:  # at the end of this turn of the loop: what else is asked in it goes along
            self._called = True
            asyncio.get_running_loop().call_soon(self._go_on)
        return await part.answer

    def _go_on(self) -> None:
        self._called = False
        while self._waiting and self._under_way < AT_ONCE:
            joint = _Joint()
            while self._waiting:
                if self._waiting[0].answer.done() or joint.take(self._waiting[0]):  # whoever asked was cancelled
                    self._waiting.popleft()
                else:
                    break
            if joint.parts:
                self._under_way += 1
                task = asyncio.create_task(self._carry_out(joint))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, joint: _Joint) -> None:
        try:
            if len(joint.parts) == 1 or not await self._together(joint):
                await asyncio.gather(*(self._alone(part) for part in joint.parts))
        finally:
            self._under_way -= 1
            for part in joint.parts:
                part.answer.cancel()  # of those that have none, when this was cancelled
            self._go_on()

    async def _together(self, joint: _Joint) -> bool:
        """Whether all parts have their answers."""
        try:
            revision = await self._make(list(joint.conditions), joint.changes)
        except (Ambiguous, StoreUnavailable) as error:
            for part in joint.parts:
                _fail(part, error)
            return True
        except Exception:  # what is wrong may be wrong with one of them alone
            return False
        if revision is None:
            return False
        for part in joint.parts:
            if not part.answer.done():
                part.answer.set_result(revision)
        return True

    async def _alone(self, part: _Part) -> None:
        try:
            revision = await self._make(part.conditions, part.changes)
        except Exception as error:
            _fail(part, error)
        else:
            if not part.answer.done():
                part.answer.set_result(revision)


def _fail(part: _Part, error: Exception) -> None:
    if not part.answer.done():
        part.answer.set_exception(error)
