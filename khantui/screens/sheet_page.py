"""A table on the whole screen, of any length: rows are read as they come into view."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from khantui.errors import Failure
from khantui.render.sheet import NUMBER
from khantui.render.table import Cell, Column
from khantui.render.text import crop, visible
from khantui.screens.ask import Line
from khantui.screens.host import Host
from khantui.state.link import in_thread
from khantui.state.sample import Source
from khantui.state.sheets import Sheet, open_sheet
from khantui.widgets.resource_table import ResourceTable

_WIDEST = 40  # columns of the screen, for one of the table
Row = tuple[int, list[str]]


class SheetPage(ModalScreen[None]):
    """An artifact as a table. It is fetched once, and gone from this machine when the page is closed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,v", "dismiss", "close"),
        Binding("colon,slash", "row", "go to a row"),
        # with priority: by itself a table goes one column of the screen at a time
        Binding("left,h", "sideways(-20)", "left", show=False, priority=True),
        Binding("right,l", "sideways(20)", "right", show=False, priority=True),
        Binding("c", "copy", "copy the row"),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._sheet: Sheet | None = None
        self._ended = threading.Event()

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    @property
    def table(self) -> ResourceTable[Row]:
        """The rows."""
        return self.query_one("#rows", ResourceTable)

    def compose(self) -> ComposeResult:
        with Vertical(id="page", classes="whole") as page:
            page.border_title = Content(visible(self._source.title))
            page.border_subtitle = "…"
            yield ResourceTable[Row](self._columns, lambda row: str(row[0]), id="rows")

    def on_mount(self) -> None:
        self.table.wide = True
        self.table.focus()
        self._open()

    def on_unmount(self) -> None:
        self._ended.set()
        if self._sheet is not None:
            threading.Thread(target=self._sheet.close, daemon=True).start()

    def _columns(self) -> Sequence[Column[Row]]:
        if self._sheet is None:
            return []
        titles = [Column[Row]("", lambda row: Cell(f"{row[0]:,}", "faint"), right=True)]
        known = [row for i in range(50) if (row := self._sheet.row(i)) is not None]
        for i, name in enumerate(self._sheet.titles):
            cells = [row[1][i] for row in known if i < len(row[1]) and row[1][i]]
            right = bool(cells) and all(NUMBER.fullmatch(cell) for cell in cells)
            titles.append(Column(crop(visible(name), _WIDEST), _value(i), right=right))
        return titles

    # what it knows

    @work(group="sheet", exclusive=True)
    async def _open(self) -> None:
        def tell(said: str) -> None:
            self.app.call_from_thread(self._tell, said)

        try:
            sheet = await self.host.link.ask(lambda c: open_sheet(c, self._source, self._ended.is_set, tell))
        except Failure as failure:
            self._tell(" → ".join(filter(None, (failure.message, failure.hint))))
            return
        if sheet is None or self._ended.is_set():
            return
        self._sheet = sheet
        self.table.empty = "it has no rows"
        page = self.query_one("#page")
        page.border_title = Content(
            visible(f"{self._source.title} · {sheet.count:,} rows, {len(sheet.titles)} columns")
        )
        page.border_subtitle = "←→ sideways · g G ends · : row · c copy · esc close"
        self.read(0)

    def _tell(self, said: str) -> None:
        if self.is_attached and self._sheet is None:
            self.query_one("#page").border_subtitle = Content(visible(f"{said} · esc close"))

    def on_resource_table_in_view(self, message: ResourceTable.InView) -> None:
        message.stop()
        if self._sheet is not None:
            for number in self._sheet.wanted(message.first, message.last + 1):
                self.read(number)

    @work(group="rows")
    async def read(self, number: int) -> None:
        """Read a page of rows."""
        sheet = self._sheet
        assert sheet is not None
        try:
            await in_thread(lambda: sheet.read(number))
        except Failure as failure:
            if not self._ended.is_set():
                self.host.say(failure)
            return
        if self.is_attached:
            self.table.show(sheet)

    # keys

    @work(group="act")
    async def action_row(self) -> None:
        """To a row by its number."""
        said = await self.app.push_screen_wait(Line("to which row?", placeholder="a number; rows count from 1"))
        if said and said.replace(",", "").strip().isdecimal():
            self.table.go_to(int(said.replace(",", "")) - 1)

    def action_sideways(self, by: int) -> None:
        """To the left or right."""
        self.table.scroll_relative(x=by, animate=False)

    def action_copy(self) -> None:
        """Put the row's values on the clipboard, with tabs between them."""
        if (row := self.table.current) is not None:
            self.app.copy_to_clipboard("\t".join(row[1]))
            self.notify(f"copied row {row[0]:,}", markup=False)


def _value(index: int) -> Callable[[Row], str]:
    return lambda row: crop(visible(row[1][index]), _WIDEST) if index < len(row[1]) else ""
