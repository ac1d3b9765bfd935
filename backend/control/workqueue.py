"""Things to be seen to, by name: each by one worker at a time, again when it failed, and once however often asked."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from backend.errors import KhanError

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 60.0


class WorkQueue:
    """Calls `act` for every name that was added. What fails is tried again, later each time."""

    def __init__(self, act: Callable[[str], Awaitable[None]], *, workers: int = 8) -> None:
        self._act = act
        self._workers = workers
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._busy: set[str] = set()
        self._failed: dict[str, int] = {}
        self._alarms: dict[str, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    def add(self, name: str) -> None:
        """See to it, soon; if it is being seen to, once more."""
        self._waiting[name] = None
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._workers):
                    tasks.create_task(self._work())
        finally:
            for alarm in self._alarms.values():
                alarm.cancel()

    async def _work(self) -> None:
        while True:
            name = await self._next()
            self._busy.add(name)
            try:
                await self._act(name)
                self._failed.pop(name, None)
            except KhanError as error:
                pause = self._later(name)
                log.warning("%s: %s; again in %.1f s", name, error.message, pause)
            except Exception:  # one thing's mishap must not stop the others
                log.exception("%s: again in %.1f s", name, self._later(name))
            finally:
                self._busy.discard(name)
                self._wake.set()

    async def _next(self) -> str:
        while True:
            for name in self._waiting:
                if name not in self._busy:
                    del self._waiting[name]
                    return name
            self._wake.clear()
            await self._wake.wait()

    def _later(self, name: str) -> float:
        """Have it tried again: in how many seconds."""
        failures = self._failed[name] = self._failed.get(name, 0) + 1
        pause = min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 16), _LONGEST_PAUSE)
        if alarm := self._alarms.pop(name, None):
            alarm.cancel()
        self._alarms[name] = asyncio.get_running_loop().call_later(pause, self._ring, name)
        return pause

    def _ring(self, name: str) -> None:
        self._alarms.pop(name, None)
        self.add(name)
