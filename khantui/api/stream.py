"""What happens, as it happens: events and logs. A lost connection is taken up where it broke, without gap or repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx

from backend.api.wire import BackfillView, EventView, MergedLineView, RunView
from khantui.api.http import LOST, decode
from khantui.errors import Failure

if TYPE_CHECKING:
    from khantui.api.client import Client

_SILENCE = 45.0  # seconds without a byte, after which a connection is taken for dead: the daemon sends one every 15
_LOOKED = 0.25  # seconds before a log whose run may go on is asked for again


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


def watch_backfill(client: Client, identifier: str) -> Iterator[BackfillView]:
    """A backfill as it is now and after each change to it, until it has ended."""
    view = client.backfill(identifier)
    yield view
    if view.ended is not None:
        return
    for event in events(client, view.revision):
        newer = event.kind == "backfill" and event.id == identifier and event.revision > view.revision
        if newer or event.kind == "relist":
            view = client.backfill(identifier)
            yield view
            if view.ended is not None:
                return


def settled(run: RunView) -> bool:
    """Whether a run (in detail) has ended and stays so: a retry that was asked for a moment ago takes it up again."""
    return run.ended is not None and not run.asked


def follow_logs(client: Client, run: str, *, tail: int | None = None, **which: Any) -> Iterator[MergedLineView]:
    """The logs of a run as they grow, in the order of time, until it has ended and all was read.

    Of those stages that `stage` names, or of all. With `tail` only so many lines of what was there before.
    """
    at = 1
    while True:
        try:
            for line in client.follow_run_log(run, line=at, tail=tail, **which):
                at, tail = line.number + 1, None
                yield line
            if settled(client.run(run)):
                return
        except (*LOST, httpx.TimeoutException):
            pass  # if it stays away the next question says so
        time.sleep(_LOOKED)
