"""What all screens around one table have in common: conditions, marks, wide, relative times."""

from __future__ import annotations

from typing import Generic, TypeVar

from backend.api.wire import PipelineView
from khantui.screens.view import View
from khantui.widgets.prompt import Kind
from khantui.widgets.resource_table import ResourceTable

T = TypeVar("T")
NOTHING_FITS = "nothing fits these conditions: / changes them, esc takes them away"


class TableView(View, Generic[T]):
    """A screen whose body is a table under conditions."""

    FAULTS = ""  # the conditions of ctrl-z

    def __init__(self, command: str, filter: str = "") -> None:
        super().__init__(command)
        self._filter = filter
        self._absolute = False

    @property
    def table(self) -> ResourceTable[T]:
        """The list."""
        return self.query_one("#table", ResourceTable)

    def tick(self) -> None:
        super().tick()
        self.table.tick()

    def on_resource_table_moved(self) -> None:
        self.show_heading()
        if self.host.who is not None and self.host.who.partly:
            self.refresh_bindings()  # what is allowed may differ from row to row

    def about(self) -> str:
        item = self.table.current if self.is_mounted else None
        return item.name if isinstance(item, PipelineView) else str(getattr(item, "pipeline", ""))

    def on_resource_table_opened(self, message: ResourceTable.Opened) -> None:
        self.action_open()

    def action_open(self) -> None:
        """Into the thing."""

    def prompted(self, kind: Kind) -> str:
        return self._filter if kind == "filter" else ""

    def focus_body(self) -> None:
        self.table.focus()

    def action_back(self) -> None:
        """Take away marks, then conditions, then leave."""
        if self.table.marked:
            self.table.clear_marks()
        elif self._filter:
            self.said("filter", "")
        else:
            super().action_back()

    def action_faults(self) -> None:
        """Only what failed, or everything again."""
        self.said("filter", "" if self._filter == self.FAULTS else self.FAULTS)

    def action_wide(self) -> None:
        """All columns."""
        self.table.toggle_wide()

    def action_times(self) -> None:
        """Times as they stand on the clock, or how long ago."""
        self._absolute = not self._absolute
        self.table.changed()
