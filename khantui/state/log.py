"""The lines of a log, as far as they are held: those that were looked at lately. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from backend.api.wire import LogLineView, LogPage, MergedLineView, MergedPage

Line = LogLineView | MergedLineView

PAGE = 500  # lines
MOST_PAGES = 60  # held at once


class LogLines:
    """What is known of a log. Lines are counted from 1."""

    def __init__(self) -> None:
        self.total = 0
        self.bytes = 0
        self.complete = False
        self.archived = False
        self.first_error: int | None = None
        self._pages: OrderedDict[int, dict[int, Line]] = OrderedDict()
        self._asked: set[int] = set()

    def line(self, number: int) -> Line | None:
        """A line, or None while it is not held."""
        page = self._pages.get((number - 1) // PAGE)
        return page.get(number) if page is not None else None

    def take(self, page: LogPage | MergedPage) -> None:
        """Take in an answer."""
        self.total = max(self.total, page.total_lines)
        self.bytes = max(self.bytes, page.total_bytes)
        self.complete = self.complete or page.complete
        self.archived = page.archived
        self.first_error = self.first_error or page.first_error
        self.add(page.lines)
        self._asked.clear()

    def add(self, lines: Iterable[Line]) -> None:
        """Take in lines that came by themselves."""
        for line in lines:
            number = (line.number - 1) // PAGE
            held = self._pages.get(number)
            if held is None:
                held = self._pages[number] = {}
                self._forget(number)
            held[line.number] = line
            if line.number > self.total:
                self.total = line.number
                self.bytes = max(self.bytes, line.offset + line.length)

    def wanted(self, first: int, last: int) -> list[int]:
        """The first lines of pages (of PAGE lines) to be asked for, so that the lines `first` to `last` are known."""
        found = []
        for number in range(max(0, first - 1) // PAGE, max(0, min(last, self.total) - 1) // PAGE + 1):
            held = self._pages.get(number)
            begin = number * PAGE + 1
            end = min(begin + PAGE - 1, self.total)
            seen = range(max(begin, first), min(end, last) + 1)
            if held is not None:
                self._pages.move_to_end(number)
            if number not in self._asked and any(held is None or n not in held for n in seen):
                self._asked.add(number)
                found.append(begin)
        return found

    def gave_up(self) -> None:
        """Questions that got no answer may be asked again."""
        self._asked.clear()

    def _forget(self, but: int) -> None:
        while len(self._pages) > MOST_PAGES:
            oldest = next(iter(self._pages))
            if oldest == but:
                self._pages.move_to_end(oldest)
                continue
            del self._pages[oldest]
