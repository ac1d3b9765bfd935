"""The versions of a pipeline: read one, compare two, go back to one."""

from __future__ import annotations

from typing import ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from backend.api.wire import VersionView
from khantui.errors import Failure
from khantui.render.difference import pieces
from khantui.render.jsontext import document_lines
from khantui.render.rows import version_columns
from khantui.render.text import visible
from khantui.screens.ask import Confirm
from khantui.screens.host import Host
from khantui.screens.page import LinesPage
from khantui.screens.rights import Guarded
from khantui.state.rows import ListRows
from khantui.widgets.resource_table import ResourceTable


class VersionsPanel(Guarded, Vertical):
    """The list of them, newest first, and what can be done with one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("equals_sign", "compare", "diff"),
        Binding("b", "roll_back", "roll back"),
    ]

    def __init__(self, pipeline: str, *, id: str) -> None:
        super().__init__(id=id)
        self._pipeline = pipeline
        self._versions: ListRows[VersionView] = ListRows()

    def compose(self) -> ComposeResult:
        yield ResourceTable[VersionView](
            lambda: version_columns(self.host.moment), lambda v: str(v.version), id="version-table", empty="…"
        )

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    @property
    def table(self) -> ResourceTable[VersionView]:
        """The list."""
        return self.query_one("#version-table", ResourceTable)

    @work(group="versions", exclusive=True)
    async def load(self) -> None:
        """Ask for the versions."""
        try:
            found = await self.host.link.ask(lambda c: list(c.versions(self._pipeline)))
        except Failure as failure:
            self.table.empty = visible(failure.message)
            self.table.refresh()
            return
        self._versions.put(found)
        self.table.show(self._versions)

    def current(self) -> int:
        """The number of the version that runs now; 0 while that is not known."""
        return next((v.version for v in self._versions.items if v.current), 0)

    @work(group="version", exclusive=True)
    async def on_resource_table_opened(self, message: ResourceTable.Opened) -> None:
        message.stop()
        if isinstance(message.row, VersionView):
            number = message.row.version
            found = await self.host.ask(lambda c: c.version(self._pipeline, number))
            if found is not None and isinstance(found.document, str):
                title = f"{self._pipeline} v{number}{f' · {found.message}' if found.message else ''}"
                self.app.push_screen(LinesPage(title, document_lines(found.document), numbered=True))

    def compared(self) -> tuple[int, int] | None:
        """Which two versions are meant: the marked ones, or the one at the cursor and the marked or current one."""
        row = self.table.current
        marked = sorted(int(m) for m in self.table.marked)
        if row is None:
            return None
        if len(marked) >= 2:
            return marked[0], marked[-1]
        other = marked[0] if marked else self.current()
        if other == row.version:  # against itself: what it has changed
            other = max((v.version for v in self._versions.items if v.version < row.version), default=0)
        return (min(other, row.version), max(other, row.version)) if other else None

    @work(group="version", exclusive=True)
    async def action_compare(self) -> None:
        """What differs between two versions."""
        two = self.compared()
        if two is None:
            self.notify("there is no other version to compare it with", markup=False)
            return
        found = await self.host.ask(lambda c: c.diff(self._pipeline, *two))
        if found is not None:
            lines = pieces(found.lines) or [[("they say the same", "faint")]]
            self.app.push_screen(LinesPage(f"{self._pipeline} v{two[0]} → v{two[1]} · {extent(found.lines)}", lines))

    @work(group="version", exclusive=True)
    async def action_roll_back(self) -> None:
        """Make a version the current one again, after a question."""
        row, now = self.table.current, self.current()
        if row is None or not now:
            return
        if row.version == now:
            self.notify(f"v{now} is the current version", markup=False)
            return
        found = await self.host.ask(lambda c: c.diff(self._pipeline, now, row.version))
        if found is None:
            return
        said = f"a new version is made that says what v{row.version} says\nagainst v{now}: {extent(found.lines)}"
        if row.message:
            said += f"\nv{row.version}: {row.message}"
        question = f"Roll {self._pipeline} back from v{now} to v{row.version}?"
        if await self.app.push_screen_wait(Confirm(question, said, yes="roll back")):
            done = await self.host.ask(lambda c: c.rollback(self._pipeline, row.version))
            if done is not None:
                self.notify(f"v{done.version} is current: it says what v{row.version} says", markup=False)
                self.load()


def extent(lines: tuple[str, ...]) -> str:
    """How large a diff is: `+12 −4 lines`."""
    more = sum(line.startswith("+") and not line.startswith("+++ ") for line in lines)
    less = sum(line.startswith("-") and not line.startswith("--- ") for line in lines)
    return f"+{more} −{less} line{'s' * (more + less != 1)}" if more or less else "nothing differs"
