"""What is left to do for attempts that have ended: their logs are archived, and the executor forgets them.

Nobody waits for it, so it waits for others: it is done when nothing runs, or after a while at the latest.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection

from backend.control.patience import patiently
from backend.errors import KhanError
from backend.executors.base import AttemptKey, Executor
from backend.logs import LogStore

log = logging.getLogger(__name__)

AT_ONCE = 2
LATEST = 2.0  # seconds for which it may wait while attempts run
AGAIN = 30.0  # seconds until what the disk had no room for is tried again
LOOK = 0.05  # seconds between two looks whether they do


class Tidying:
    """Sees to each attempt that was added; if this process ends before, the next one does."""

    def __init__(self, logs: LogStore, executor: Executor, busy: Callable[[], bool]) -> None:
        """`busy` says whether attempts run."""
        self._logs = logs
        self._executor = executor
        self._busy = busy
        self._waiting: OrderedDict[AttemptKey, float] = OrderedDict()  # since when, by the loop's clock
        self._wake = asyncio.Event()

    def add(self, key: AttemptKey) -> None:
        """It has ended."""
        self._logs.end(*key)
        self._waiting.setdefault(key, asyncio.get_running_loop().time())
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._work())

    async def sweep(self, active: Collection[str]) -> None:
        """See to what an earlier daemon has left of runs (ids) that are not `active`."""
        for key in await self._logs.sweep(active):
            await self._executor.forget(AttemptKey(*key))
        await self._executor.sweep(active)

    async def _work(self) -> None:
        while True:
            key = await self._next()
            try:
                await patiently(lambda key=key: self._logs.finish(*key))  # type: ignore[misc]
                await self._executor.forget(key)
            except KhanError as error:
                log.warning("the log of %s stays where it is: %s", key, error)
            except OSError as error:  # a full disk, most often: there may be room later
                log.warning("the log of %s stays where it is for now: %s", key, error)
                asyncio.get_running_loop().call_later(AGAIN, self.add, key)
            except Exception:  # one attempt's mishap must not stop the others
                log.exception("what is left of %s stays where it is", key)

    async def _next(self) -> AttemptKey:
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            key, since = next(iter(self._waiting.items()))
            if not self._busy() or loop.time() - since >= LATEST:
                del self._waiting[key]
                return key
            await asyncio.sleep(LOOK)
