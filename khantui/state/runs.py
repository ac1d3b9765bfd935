"""The runs that a list shows, as far as they are known. Pure: what to ask for is said, what was answered is taken in.

Without conditions the list has gaps: of 100,000 runs those are held that were looked at lately. A row's place is
counted from where the newest run was when the list was made, so that new ones on top move nothing. With conditions
it is what was found so far, in order, and grows at its end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from backend.api import filter as conditions
from backend.api.wire import EventView, Page, RunView
from backend.errors import InvalidRequest

PAGE = 200
MOST_PAGES = 40  # held at once, where there are gaps


class Query(NamedTuple):
    """Which runs, in which order."""

    filter: str = ""
    sort: str = ""  # as the API takes it; empty: newest first
    pipeline: str = ""


class Request(NamedTuple):
    """A page to be asked for: which one it is, and the API's parameters."""

    page: int
    parameters: dict[str, str | int]


class Heard(NamedTuple):
    """What events did to a list."""

    changed: bool = False
    above: int = 0  # rows that came on top
    stale: bool = False  # it can only be asked for anew


class RunRows:
    """The rows of one query."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.total: int | None = None  # where it is known
        self.revision = 0
        self.loaded = False
        self._gaps = not query.filter and not query.sort
        self._pages: OrderedDict[int, list[RunView | None]] = OrderedDict()
        self._above: list[RunView] = []  # newer than the list, newest last
        self._held: dict[str, tuple[int, int]] = {}  # where a run is: its page (-1: above) and its place in there
        self._found: list[RunView] = []  # with conditions: in order
        self._origin = ""  # the cursor behind the first page
        self._cursor: str | None = None
        self._asked: set[int] = set()
        self._early: list[EventView] = []  # heard before the first page was there
        self._tests = conditions.parse(query.filter, conditions.RUN_FIELDS) if query.filter else []
        self._labelled = any(t.field.startswith("label.") for t in self._tests)

    @property
    def count(self) -> int:
        """How many rows there are to scroll through."""
        if not self._gaps:
            return len(self._found)
        return len(self._above) + (self.total or 0)

    @property
    def more(self) -> bool:
        """Whether there are more than `count` says."""
        return not self._gaps and self._cursor is not None

    def row(self, index: int) -> RunView | None:
        """A row, or None while it is not known."""
        if not self._gaps:
            return self._found[index] if 0 <= index < len(self._found) else None
        above = len(self._above)
        if index < above:
            return self._above[above - 1 - index]
        number, within = divmod(index - above, PAGE)
        page = self._pages.get(number)
        return page[within] if page is not None and within < len(page) else None

    def index(self, identifier: str) -> int | None:
        """Where a run is, if it is known."""
        if not self._gaps:
            return next((i for i, run in enumerate(self._found) if run.id == identifier), None)
        if identifier not in self._held:
            return None
        number, within = self._held[identifier]
        above = len(self._above)
        return above - 1 - within if number < 0 else above + number * PAGE + within

    def known(self) -> Iterable[RunView]:
        """Every row that is held."""
        yield from reversed(self._above)
        for page in self._pages.values():
            yield from (run for run in page if run is not None)
        yield from self._found

    # asking

    def first(self) -> Request:
        """The request that the list begins with."""
        return Request(0, self._parameters(cursor=None, skip=0))

    def wanted(self, first: int, last: int) -> list[Request]:
        """What must be asked for to know the rows from `first` to `last`; each is said once until it was answered."""
        if not self.loaded:
            return []
        if not self._gaps:
            if last < len(self._found) - PAGE // 2 or self._cursor is None or -1 in self._asked:
                return []
            self._asked.add(-1)
            return [Request(-1, self._parameters(cursor=self._cursor, skip=0))]
        above = len(self._above)
        numbers = range(max(0, first - above) // PAGE, max(0, last - above) // PAGE + 1)
        found = []
        for number in numbers:
            if number in self._pages:
                self._pages.move_to_end(number)
            elif number not in self._asked and number * PAGE < (self.total or 0):
                self._asked.add(number)
                found.append(Request(number, self._parameters(cursor=self._origin, skip=(number - 1) * PAGE)))
        return found

    def _parameters(self, *, cursor: str | None, skip: int) -> dict[str, str | int]:
        given: dict[str, str | int | None] = {
            "filter": self.query.filter,
            "sort": self.query.sort,
            "pipeline": self.query.pipeline,
            "cursor": cursor,
            "skip": skip,
            "limit": PAGE,
        }
        return {k: v for k, v in given.items() if v}

    def failed(self, request: Request) -> None:
        """A request got no answer: it may be made again."""
        self._asked.discard(request.page)

    def begin(self, request: Request, page: Page, now: datetime) -> Heard:
        """Take in the first page, and what was heard since it was asked for."""
        self.take(request, page)
        early, self._early = self._early, []
        return self.hear([event for event in early if event.revision > page.revision], now)

    def take(self, request: Request, page: Page) -> None:
        """Take in an answer."""
        self._asked.discard(request.page)
        runs = [msgspec.convert(item, RunView) for item in page.items]
        if request.page == 0 and not self.loaded:
            self.loaded, self.revision = True, page.revision
            self.total, self._origin, self._cursor = page.total, page.cursor or "", page.cursor
            if self._gaps and page.total is None:
                # of some pipelines' runs alone is told, and how many those are is not known: it grows at its end
                self._gaps = page.cursor is None
            if self._gaps:
                self.total = len(runs) if page.total is None else page.total
        if not self._gaps:
            have = {run.id for run in self._found}
            self._found += [run for run in runs if run.id not in have]
            self._cursor = page.cursor
            return
        self._pages[request.page] = list(runs)
        self._held |= {run.id: (request.page, within) for within, run in enumerate(runs)}
        for number in list(self._pages):
            if len(self._pages) <= MOST_PAGES:
                break
            if number not in (0, request.page):
                for gone in self._pages.pop(number):
                    self._held.pop(gone.id if gone else "", None)

    # hearing

    def hear(self, events: Iterable[EventView], now: datetime) -> Heard:
        """Take in what happened."""
        changed, above, stale = False, 0, False
        if not self.loaded:
            self._early += events
            return Heard()
        newest: dict[str, EventView] = {}
        for event in events:
            if event.kind == "relist":
                return Heard(stale=True)
            if event.kind == "run":
                newest[event.id] = event
        for identifier, event in newest.items():
            if event.object is None:
                stale = stale or event.revision > self.revision
                continue
            run = msgspec.convert(event.object, RunView)
            outcome = self._hear(identifier, run, now)
            changed = changed or outcome != "unknown"
            above += outcome == "above"
            stale = stale or outcome == "stale"
        return Heard(changed, above, stale)

    def _hear(self, identifier: str, run: RunView, now: datetime) -> Literal["unknown", "changed", "above", "stale"]:
        if self.query.pipeline and run.pipeline != self.query.pipeline:
            return "unknown"
        if self._replace(identifier, run):
            if not self._gaps and not self._labelled and not self._fits(run, now):
                self._found = [r for r in self._found if r.id != identifier]
            return "changed"
        if run.revision <= self.revision:
            return "unknown"  # the list was made after it
        if self._gaps:
            first = self._above[-1] if self._above else self.row(0)
            if first is not None and run.id < first.id:
                return "unknown"  # an old one, in a gap
            self._held[run.id] = (-1, len(self._above))
            self._above.append(run)
            return "above"
        if self._labelled or self.query.sort:
            return "stale"
        if not self._fits(run, now):
            return "unknown"
        place = next((i for i, other in enumerate(self._found) if other.id < run.id), len(self._found))
        if place == len(self._found) and self._cursor is not None:
            return "unknown"  # it comes with the pages that are to follow
        self._found.insert(place, run)
        return "above" if place == 0 else "changed"

    def _replace(self, identifier: str, run: RunView) -> bool:
        rows: list[RunView | None] | list[RunView] = self._found
        place: int | None
        if self._gaps:
            number, place = self._held.get(identifier, (0, None))
            rows = self._above if number < 0 else self._pages.get(number, [])
        else:
            place = self.index(identifier)
        if place is None:
            return False
        before = rows[place]
        if before is None or before.revision < run.revision:
            rows[place] = run
        return True

    def _fits(self, run: RunView, now: datetime) -> bool:
        return conditions.matches(self._tests, conditions.run_subject(run, run.progress.get("total", 0), now))


def wrong(text: str, fields: frozenset[str] = conditions.RUN_FIELDS) -> str:
    """What is wrong with a filter; empty if nothing is."""
    try:
        conditions.parse(text, fields)
    except InvalidRequest as error:
        return f"{error.message}{' → ' + error.hint if error.hint else ''}"
    return ""
