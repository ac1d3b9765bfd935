"""Where the first error of each log is, as far as was looked: every page of a log tells it."""

from __future__ import annotations

from collections import OrderedDict

from backend.logs.merged import LogKey
from backend.logs.reader import LogReader

AT_ONCE = 4 << 20  # bytes that one question may have looked through
MOST = 10_000  # logs remembered


class FirstErrors:
    """Remembers."""

    def __init__(self) -> None:
        self._known: OrderedDict[LogKey, tuple[int | None, int]] = OrderedDict()

    def of(self, key: LogKey, reader: LogReader) -> int | None:
        """The number of the first line that speaks of an error, if that is known by now; looks on from where it was."""
        line, looked = self._known.get(key, (None, 0))
        if line is None and looked < reader.source.size:
            line, looked = reader.first_error(looked, AT_ONCE)
            self._known[key] = (line, looked)
            self._known.move_to_end(key)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return line
