"""The connection to one daemon: questions are asked beside the event loop, and what happens there comes in batches.

The client is the command line's: blocking, and so each question has a thread of its own. They are daemon threads, so
that a daemon that does not answer cannot keep the program from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal, TypeVar

import httpx

from backend.api.wire import EventView
from khantui.api.client import Client
from khantui.api.http import BECAUSE, LOST
from khantui.api.stream import connection
from khantui.errors import Denied, Failure, Unreachable

T = TypeVar("T")
Hear = Callable[[Sequence[EventView]], None]
State = Literal["connecting", "live", "away"]

AT_ONCE = 8  # questions under way
MOST_WAITING = 20_000  # items that an iterator may be ahead of who takes them
TOGETHER = 0.03  # seconds for which events are gathered before they are passed on
APART = 0.12  # seconds between two batches, when they come without end: keys come first
PAUSES = (0.1, 2.0)  # seconds between two attempts to reach a daemon that is away: the first and the longest


class Link:
    """One daemon. All methods are called on the event loop."""

    def __init__(self, client: Client, why: Callable[[str], Awaitable[str]] | None = None) -> None:
        """`why` is asked where the daemon wants a reason: it is told what for, and answers "" for none."""
        self.client = client
        self._why = why
        self.state: State = "connecting"
        self.problem = ""
        self.heard_at = time.monotonic()  # the last sign of life
        self._listeners: list[Hear] = []
        self._watchers: list[Callable[[], None]] = []
        self._free = asyncio.Semaphore(AT_ONCE)
        self._inbox: list[EventView] = []
        self._due = False
        self._passed_on = 0.0  # when, by the loop's clock
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ask(self, call: Callable[[Client], T]) -> T:
        """The answer to a question. Raises Failure. A reason that was asked for on the way holds for what follows."""
        try:
            return await self._asked(call)
        except Failure as failure:
            if failure.code != "reason-required" or self._why is None:
                raise
            reason = await self._why(failure.message)
            if not reason:
                raise
        BECAUSE.set(reason)
        return await self._asked(call)

    async def _asked(self, call: Callable[[Client], T]) -> T:
        async with self._free:
            try:
                return await in_thread(lambda: call(self.client))
            except Unreachable as failure:
                self._turn("away", failure.message)
                raise

    def listen(self, hear: Hear) -> Callable[[], None]:
        """Have `hear` called with the events, oldest first; returns what ends that."""
        self._listeners.append(hear)
        return lambda: self._listeners.remove(hear) if hear in self._listeners else None

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have `changed` called when the daemon is lost or found; returns what ends that."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed) if changed in self._watchers else None

    def pour(self, make: Callable[[Client], Iterator[T]], hear: Callable[[list[T], bool], None]) -> Callable[[], None]:
        """Have `hear` called with what an iterator yields, in batches, and with True when it has ended or broken.

        Returns what ends it. The iterator runs in a thread of its own, and waits while nobody takes what it yielded.
        """
        loop, ended, taken = asyncio.get_running_loop(), threading.Event(), threading.Event()
        context = contextvars.copy_context()  # a thread has none of its own, and widgets need the application's
        waiting: list[T] = []
        lock = threading.Lock()

        def take() -> None:
            with lock:
                batch, waiting[:] = waiting[:], []
            taken.set()
            if not ended.is_set():
                hear(batch, False)

        def finish() -> None:
            if not ended.is_set():
                hear([], True)

        def run() -> None:
            with contextlib.suppress(Failure, httpx.HTTPError, RuntimeError):
                for item in make(self.client):
                    if ended.is_set():
                        return
                    with lock:
                        waiting.append(item)
                        first, full = len(waiting) == 1, len(waiting) >= MOST_WAITING
                    if first:
                        loop.call_soon_threadsafe(loop.call_later, TOGETHER, take, context=context)
                    if full:
                        taken.clear()
                        taken.wait(5.0)
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.call_later, 2 * TOGETHER, finish, context=context)

        threading.Thread(target=run, daemon=True).start()
        return ended.set

    def start(self) -> None:
        """Begin to listen to the daemon, whether it is there or not."""
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # of the application, which widgets look for
        threading.Thread(target=self._stream, name="events", daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and let go of the connections; threads that still wait on one end by themselves."""
        self._ended.set()
        self.client.close()

    @property
    def silent_for(self) -> float:
        """Seconds since the daemon was last heard."""
        return time.monotonic() - self.heard_at

    def _stream(self) -> None:
        """In its own thread: keep a connection, and pass on what comes."""
        since, pause = -1, PAUSES[0]
        while not self._ended.is_set():
            problem = "the connection has ended"
            try:
                if since < 0:
                    since = self.client.revision()
                    self._call(self._turn, "live", "")
                for event in connection(self.client, since, self._alive):
                    since = max(since, event.revision)
                    pause = PAUSES[0]
                    if event.kind == "relist":  # who lists anew after this misses nothing that follows
                        since = self.client.revision()
                    self._call(self._gather, event)
                    if self._ended.is_set():
                        return
                self._call(self._turn, "away", problem)
            except Denied as failure:
                self._call(self._turn, "away", failure.message)
                return
            except Failure as failure:
                self._call(self._turn, "away", failure.message)
            except (*LOST, httpx.TimeoutException) as error:
                self._call(self._turn, "away", f"{problem}: {error}" if str(error) else problem)
            self._ended.wait(pause)
            pause = min(PAUSES[1], pause * 2)

    def _alive(self) -> None:
        self.heard_at = time.monotonic()
        if self.state != "live":
            self._call(self._turn, "live", "")

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments, context=self._context)
        except RuntimeError:  # the program ends
            self._ended.set()

    def _turn(self, state: State, problem: str) -> None:
        if (state, problem) != (self.state, self.problem):
            self.state, self.problem = state, problem
            for watcher in tuple(self._watchers):
                watcher()

    def _gather(self, event: EventView) -> None:
        self._inbox.append(event)
        if not self._due:
            self._due = True
            assert self._loop is not None
            pause = max(TOGETHER, self._passed_on + APART - self._loop.time())
            self._loop.call_later(pause, self._pass_on)

    def _pass_on(self) -> None:
        assert self._loop is not None
        batch, self._inbox, self._due, self._passed_on = self._inbox, [], False, self._loop.time()
        for hear in tuple(self._listeners):
            hear(batch)


async def in_thread(call: Callable[[], T]) -> T:
    """The result of `call`, run in a thread that does not keep the program alive, and knows what its caller knows."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.done():  # nobody waits any more
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        try:
            outcome: tuple[T | None, BaseException | None] = (call(), None)
        except BaseException as error:
            outcome = (None, error)
        try:
            loop.call_soon_threadsafe(settle, *outcome)
        except RuntimeError:
            return  # the loop is closed: the program ends

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    return await result
