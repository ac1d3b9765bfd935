"""What happens, as it happens: events and logs. A lost connection is taken up where it broke, without gap or repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from backend.api.wire import EventView, LogLineView, RunView
from khantui.api.http import LOST, decode
from khantui.errors import Failure, Unreachable

if TYPE_CHECKING:
    from khantui.api.client import Client

_SILENCE = 45.0  # seconds without a byte, after which a connection is taken for dead: the daemon sends one every 15
_LOOKED = 0.25  # seconds between two looks at logs that grow
_PAGE = 1000  # lines


def events(client: Client, since: int) -> Iterator[EventView]:
    """Every change after revision `since`, for ever; `relist` where the daemon has forgotten what was before.

    Raises Unreachable if the daemon stays away.
    """
    pause = 0.1
    while True:
        try:
            for event in connection(client, since):
                since = max(since, event.revision)
                pause = 0.1
                yield event
        except (*LOST, httpx.TimeoutException):
            pass
        time.sleep(pause)  # it ended in order, or broke: in both cases there is more to come
        pause = min(2.0, pause * 2)


def connection(client: Client, since: int, alive: Callable[[], None] = lambda: None) -> Iterator[EventView]:
    """The events of one connection; `alive` is called at each sign of life, also when there is no news."""
    try:
        with client.http.stream("/events", query={"since": since}, silence=_SILENCE) as response:
            data: list[str] = []
            for line in response.iter_lines():  # server-sent events: an empty line ends each, so none is had by half
                alive()
                if line.startswith("data:"):
                    data.append(line[5:])
                elif not line and data:
                    yield decode("".join(data).encode(), EventView)
                    data = []
    except Failure as failure:
        if failure.code not in ("revision-compacted", "store-rewound"):
            raise
        yield EventView(since, "relist", "", None)


def watch_run(client: Client, run: str) -> Iterator[RunView]:
    """A run as it is now and after each change to it or its stages, until it has ended and nothing is asked of it."""
    view = client.run(run)
    yield view
    if settled(view):
        return
    for event in events(client, view.revision):
        if event.kind == "relist" or event.id == run or event.id.startswith(run + "/"):
            if event.revision and event.revision <= view.revision and not view.asked:
                continue  # what was read already shows it
            view = client.run(run)
            yield view
            if settled(view):
                return


def settled(run: RunView) -> bool:
    """Whether a run (in detail) has ended and stays so: a retry that was asked for a moment ago takes it up again."""
    return run.ended is not None and not run.asked


@dataclass(frozen=True)
class Followed:
    """Something new: a line of a stage's log, or the run itself."""

    stage: str = ""
    attempt: int = 0
    line: LogLineView | None = None
    run: RunView | None = None


@dataclass
class _Cursors:
    """How far each attempt's log was read."""

    next_line: dict[tuple[str, int], int] = field(default_factory=dict)
    done: set[tuple[str, int]] = field(default_factory=set)


def follow_run_logs(
    client: Client, run: str, stages: Collection[str] = (), tail: int | None = None, only_new: bool = False
) -> Iterator[Followed]:
    """The logs of a run's stages (those named, or all) as they grow, until the run has ended and all was read.

    With `tail`, of what was there before only so many lines of each newest attempt.
    """
    cursors = _Cursors()
    first = True
    while True:
        view = client.run(run)
        yield Followed(run=view)
        known = view.stages if isinstance(view.stages, tuple) else ()
        for stage in known:
            if stages and stage.name not in stages:
                continue
            for attempt in stage.attempts:
                key = (stage.name, attempt.number)
                if first and tail is not None:
                    if attempt is not stage.attempts[-1]:
                        cursors.done.add(key)
                        continue
                    total = client.log(run, stage.name, attempt=attempt.number, tail=1).total_lines
                    cursors.next_line[key] = max(1, total - tail + 1)
                yield from _drain(client, run, key, cursors, attempt.ended is not None)
        first = False
        if settled(view):
            return
        time.sleep(_LOOKED)


def _drain(client: Client, run: str, key: tuple[str, int], cursors: _Cursors, ended: bool) -> Iterator[Followed]:
    """All lines of one attempt that were not read yet."""
    stage, attempt = key
    while key not in cursors.done:
        start = cursors.next_line.get(key, 1)
        try:
            page = client.log(run, stage, attempt=attempt, line=start, limit=_PAGE)
        except Unreachable:
            raise
        except Failure as failure:
            if failure.code != "not-found":
                raise
            if ended:
                cursors.done.add(key)  # it never wrote any
            return
        for line in page.lines:
            if not page.complete and line.offset + line.length >= page.total_bytes:
                return  # it has no end yet: next time it is there whole
            cursors.next_line[key] = line.number + 1
            yield Followed(stage, attempt, line)
        if page.complete and (not page.lines or cursors.next_line[key] > page.total_lines):
            cursors.done.add(key)
        if len(page.lines) < _PAGE:
            return
