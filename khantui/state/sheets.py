"""A table that is paged through: the whole of an artifact, fetched once, of which only the rows in view are read."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from khantui.api.client import Client
from khantui.api.peek import Stopped
from khantui.errors import Failure
from khantui.render.moments import size
from khantui.render.preview import BEGINNING, Preview, decoded
from khantui.render.sheet import header, parsed, separator
from khantui.state import duck
from khantui.state.sample import Source

PAGE = 500  # rows that are read at once
_KEPT = 40  # pages
_PAGED = frozenset(("CSV", "TSV", "Parquet"))


def can_be_paged(shown: Preview) -> bool:
    """Whether what is shown is the beginning of a table that can be paged through."""
    return shown.kind in _PAGED


class Sheet:
    """A table on the disk of this machine, with titles and `count` rows. `close` takes it away again."""

    def __init__(self, folder: Path, path: Path, titles: Sequence[str], count: int) -> None:
        self._folder, self._path = folder, path
        self.titles, self.count = list(titles), count
        self._pages: dict[int, list[list[str]]] = {}
        self._reading = threading.Lock()

    def row(self, index: int) -> tuple[int, list[str]] | None:
        """A row with its number, counted from 1; None while it is not read."""
        page = self._pages.get(index // PAGE)
        if page is None or index % PAGE >= len(page):
            return None
        return index + 1, page[index % PAGE]

    def wanted(self, first: int, last: int) -> list[int]:
        """The pages that these rows are on and that are not read yet."""
        numbers = range(max(0, first) // PAGE, min(max(0, last), max(0, self.count - 1)) // PAGE + 1)
        return [n for n in numbers if n not in self._pages]

    def read(self, number: int) -> None:
        """Read a page. Raises Failure. Not in the thread of the interface."""
        with self._reading:
            if number in self._pages:
                return
            found = duck.page(self._path, number * PAGE, PAGE)
            if found is None:
                raise Failure(f"rows from {number * PAGE + 1:,} on cannot be read")
            self._pages[number] = found
            for old in list(self._pages)[:-_KEPT]:
                del self._pages[old]

    def close(self) -> None:
        """Take it off the disk."""
        shutil.rmtree(self._folder, ignore_errors=True)


def open_sheet(client: Client, source: Source, stopped: Stopped, tell: Callable[[str], None]) -> Sheet | None:
    """Fetch a table. Raises Failure. None if `stopped` said so; `tell` hears how far it is, in words."""
    if source.length > duck.LARGEST:
        raise Failure(
            f"{source.title} has {size(source.length)}: too large to page through here", "ctrl-s downloads it"
        )
    folder = Path(tempfile.mkdtemp(prefix="khantui-"))
    try:
        path = folder / "content"
        if not _fetch(client, source, path, stopped, tell):
            shutil.rmtree(folder, ignore_errors=True)
            return None
        tell("looking through it")
        found = _opened(folder, path, source.filename)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Failure(f"{source.title} cannot be kept on this machine: {error}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return found


def _fetch(client: Client, source: Source, path: Path, stopped: Stopped, tell: Callable[[str], None]) -> bool:
    done = 0
    with path.open("wb") as file:
        for part in client.artifact(source.run, source.artifact, source.path):
            file.write(part)
            done += len(part)
            if stopped() or done > duck.LARGEST:
                return False
            tell(f"{size(done)} of {size(source.length)}")
    return True


def _opened(folder: Path, path: Path, name: str) -> Sheet:
    with path.open("rb") as file:
        beginning = file.read(BEGINNING)
    table = path
    titled = True
    if not beginning.startswith(b"PAR1"):
        cut = path.stat().st_size > len(beginning)
        text = decoded(beginning, cut=cut) or ""
        between = separator(text, name, cut=cut) or ","
        titled = header(parsed(text, between, cut=cut))
        table = folder / "content.parquet"
        if not duck.convert(path, between, titled, table):
            raise Failure("it cannot be read as a table", "ctrl-s downloads it")
    found = duck.read(table, 1)
    if found is None:
        raise Failure("it cannot be read as a table", "ctrl-s downloads it")
    titles = found.rows[0] if titled else [str(n + 1) for n in range(len(found.rows[0]))]
    return Sheet(folder, table, titles, found.total)
