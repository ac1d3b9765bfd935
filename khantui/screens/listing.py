"""What screens with a list of things have in common that are all known: filtered and sorted here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from backend.errors import InvalidRequest
from khantui.render.table import Column
from khantui.screens.table_view import NOTHING_FITS, T, TableView
from khantui.state.rows import ListRows
from khantui.widgets.prompt import Kind
from khantui.widgets.resource_table import ResourceTable


class Listing(TableView[T]):
    """A table of things that the overview knows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+z", "faults", "failed only"),
        Binding("ctrl+w", "wide", "wide", show=False),
        Binding("T", "times", "times", show=False),
        Binding("c", "copy", "copy the name", show=False),
    ]
    TITLE_WORD = ""
    EMPTY = ""
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {}  # column -> key

    def __init__(self, command: str, filter: str = "") -> None:
        super().__init__(command, filter)
        self._sorted = ""
        self.rows: ListRows[T] = self.make_rows()

    def make_rows(self) -> ListRows[T]:
        """Empty rows, that know what a filter can ask."""
        raise NotImplementedError

    def items(self) -> Iterable[T]:
        """All things, in the order of the list."""
        raise NotImplementedError

    def columns(self) -> Sequence[Column[T]]:
        """The columns now."""
        raise NotImplementedError

    def identify(self, item: T) -> str:
        """The name of a thing."""
        raise NotImplementedError

    def body(self) -> Iterable[Widget]:
        yield ResourceTable[T](self.columns, self.identify, id="table", empty="…")

    def on_mount(self) -> None:
        self.table.focus()
        self.begin()

    def begin(self) -> None:
        """Show what there is."""
        self._narrow()

    @property
    def known(self) -> bool:
        """Whether it is known what there is: before, an empty list says nothing."""
        return self.host.overview.loaded

    def overview_changed(self) -> None:
        self.renew()

    def renew(self) -> None:
        """There are other things, or the same in another state: the cursor stays where it is."""
        at = self.table.current
        self.rows.put(self.items())
        self._shown(at)
        self.show_heading()

    def _shown(self, at: T | None) -> None:
        if self.rows.total:
            self.table.empty = NOTHING_FITS
        elif self.known and self.EMPTY:
            self.table.empty = self.EMPTY
        self.table.show(self.rows)
        if at is not None:
            name = self.identify(at)
            place = next((i for i, item in enumerate(self.rows.items) if self.identify(item) == name), None)
            if place is not None and place != self.table.cursor:
                self.table.stay_at(place)

    def place(self) -> list[tuple[str, str]]:
        count, total = self.rows.count, self.rows.total
        many = f"{count:,} of {total:,}" if count != total else f"{total:,}"
        pieces = [(f" {self.TITLE_WORD}", "strong"), (f"  {many}", "faint")]
        if self.table.marked:
            pieces.append((f" · {len(self.table.marked)} marked", "warning"))
        return pieces

    def _narrow(self) -> None:
        at = self.table.current
        try:
            self.rows.narrow(self._filter)
        except InvalidRequest as error:
            self.notify(f"{error.message}\n→ {error.hint}", severity="error", markup=False)
            self._filter = ""
            self.rows.narrow("")
        self.rows.put(self.items())
        self.chips([self._filter] if self._filter else [])
        self._shown(at)
        self.show_heading()

    def said(self, kind: Kind, text: str) -> None:
        self._filter = text
        self.command = f"{self.command.split(' ')[0]} {text}".strip()
        self._narrow()

    def action_copy(self) -> None:
        """Put the name on the clipboard."""
        if chosen := self.table.chosen():
            self.app.copy_to_clipboard("\n".join(chosen))
            self.notify(f"copied {chosen[0]}", markup=False)

    def action_sort(self, title: str) -> None:
        """Sort by that column; again for the other direction; once more for the usual order."""
        steps = [title, f"-{title}", ""]
        self._sorted = steps[(steps.index(self._sorted) + 1) % 3] if self._sorted in steps[:2] else title
        key = self.SORTS.get(self._sorted.removeprefix("-"))
        at = self.table.current
        self.rows.sort(key, self._sorted.startswith("-"))
        self.table.sorted_by = self._sorted
        self._shown(at)

    def on_resource_table_sort_asked(self, message: ResourceTable.SortAsked) -> None:
        if message.title in self.SORTS:
            self.action_sort(message.title)
