"""Where the lines of a log on the screen come from: one attempt's log, or several of a run as one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import httpx

from backend.api.wire import LogPage, MergedPage
from khantui.api.client import Client
from khantui.render.text import plain, visible
from khantui.state.log import Line

_AT_ONCE = 1_000  # matches that are asked for together
_SAVED = 5_000  # lines that are asked for together


class Wanted(NamedTuple):
    """What is searched for: an expression, or lines that speak of an error where it is empty."""

    expression: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The parameters of a search."""
        if not self.expression:
            return {"errors": "1"}
        return {"regex": self.expression, "ignore_case": "1"}


class Source(Protocol):
    """A log. All methods but `title` and `file` ask the daemon, and raise Failure."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        ...

    @property
    def file(self) -> str:
        """A name for a file of it."""
        ...

    def page(self, client: Client, **query: Any) -> LogPage | MergedPage:
        """Part of it."""
        ...

    def follow(self, client: Client, line: int) -> Iterator[Line]:
        """Lines from `line` on as they come, until it ends."""
        ...

    def find(self, client: Client, wanted: Wanted, *, most: int, line: int = 0, before: int = 0) -> list[int]:
        """At most so many lines that are meant: from `line` on, or before `before`, the nearest first."""
        ...

    def whole(self, client: Client) -> Iterator[bytes]:
        """All of it."""
        ...


class OneLog(NamedTuple):
    """The log of an attempt; 0: of the newest."""

    run: str
    stage: str
    attempt: int

    @property
    def title(self) -> str:
        """See Source."""
        return self.stage

    @property
    def file(self) -> str:
        """See Source."""
        return f"{self.run[-6:]}-{self.stage}-{self.attempt}.log"

    def page(self, client: Client, **query: Any) -> LogPage:
        """See Source."""
        return client.log(self.run, self.stage, attempt=self.attempt or None, **query)

    def follow(self, client: Client, line: int) -> Iterator[Line]:
        """See Source."""
        return _persistently(
            lambda at: client.follow_log(self.run, self.stage, attempt=self.attempt or None, line=at),
            line,
            lambda: self.page(client, tail=1),
        )

    def find(self, client: Client, wanted: Wanted, *, most: int, line: int = 0, before: int = 0) -> list[int]:
        """See Source."""
        found: list[int] = []
        at: int | None = line or before
        while at and len(found) < most:
            answer = client.search_log(
                self.run,
                self.stage,
                attempt=self.attempt or None,
                limit=min(_AT_ONCE, most - len(found)),
                **wanted.query,
                **({"before": at} if before else {"line": at}),
            )
            found += [match.line.number for match in answer.matches]
            at = answer.next_line
        return found

    def whole(self, client: Client) -> Iterator[bytes]:
        """See Source."""
        return client.raw_log(self.run, self.stage, attempt=self.attempt)


class SeveralLogs(NamedTuple):
    """The logs of some stages of a run, or of all (none named), with all their attempts."""

    run: str
    stages: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """See Source."""
        return " + ".join(self.stages) if 0 < len(self.stages) <= 3 else f"{len(self.stages) or 'all'} stages"

    @property
    def file(self) -> str:
        """See Source."""
        return f"{self.run[-6:]}-{'-'.join(self.stages[:3]) or 'all'}.log"

    def page(self, client: Client, **query: Any) -> MergedPage:
        """See Source."""
        return client.run_log(self.run, stage=self.stages, **query)

    def follow(self, client: Client, line: int) -> Iterator[Line]:
        """See Source."""
        return _persistently(
            lambda at: client.follow_run_log(self.run, stage=self.stages, line=at),
            line,
            lambda: self.page(client, limit=0),
        )

    def find(self, client: Client, wanted: Wanted, *, most: int, line: int = 0, before: int = 0) -> list[int]:
        """See Source."""
        found: list[int] = []
        start: dict[str, Any] = {"before": before} if before else {"line": line}
        cursor = None
        while len(found) < most:
            answer = client.search_run(
                self.run,
                stage=self.stages,
                limit=min(_AT_ONCE, most - len(found)),
                cursor=cursor,
                **wanted.query,
                **start,
            )
            found += [hit.number for hit in answer.hits]
            cursor = answer.cursor
            if cursor is None:
                break
        return found

    def whole(self, client: Client) -> Iterator[bytes]:
        """Lines with their stage before them."""
        for start in itertools.count(1, _SAVED):
            page = client.run_log(self.run, stage=self.stages, line=start, limit=_SAVED)
            yield "".join(f"{visible(line.stage)} │ {plain(line.text)}\n" for line in page.lines).encode()
            if len(page.lines) < _SAVED:
                return


def _persistently(follow: Callable[[int], Iterator[Any]], line: int, look: Callable[[], object]) -> Iterator[Any]:
    """Lines as they come, taken up again where a connection broke; `look` raises if the daemon is away."""
    at = line
    while True:
        try:
            for each in follow(at):
                at = each.number + 1
                yield each
            return
        except httpx.HTTPError:
            look()
