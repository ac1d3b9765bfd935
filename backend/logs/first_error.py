"""Where the first error of a log that grows is: looked for bit by bit, so that nobody who opens it has to."""

from __future__ import annotations

import bisect
from pathlib import Path

from backend.logs.index import Mark
from backend.logs.reader import BLOCK, LogReader
from backend.logs.source import Live


class FirstError:
    """Of one log."""

    def __init__(self, log: Path) -> None:
        self.line: int | None = None  # its number
        self.looked = 0  # up to which byte there is none
        self._log = log
        self._end = 0  # where the last look ended: what is unfinished there is looked at again only when there is more

    def look(self, marks: list[Mark]) -> None:
        """Look on, from mark to mark: lines begin there."""
        if self.line is not None or marks[-1].offset == self._end:
            return
        at = bisect.bisect_right(marks, self.looked + BLOCK, key=lambda m: m.offset) - 1
        end = marks[at].offset
        if end <= self.looked:  # a line that is longer
            end = min(self.looked + BLOCK, marks[-1].offset)
        if end > self._end:
            with LogReader(Live(self._log, list(marks)), complete=False) as reader:
                self.line, self.looked = reader.find_error(self.looked, end)
            self._end = end
