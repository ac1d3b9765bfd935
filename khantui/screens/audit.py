"""The journal: who did what, and who was kept from it. What is asked of it, the daemon answers: it may be long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from textual import work

from backend.api.wire import AuditView
from khantui.errors import Failure, Misuse
from khantui.render.audit import audit_columns, entry_lines
from khantui.render.table import Column
from khantui.screens.listing import Listing
from khantui.screens.text import TextPage
from khantui.state.audit import query_of
from khantui.state.rows import ListRows

MOST = 1000  # entries that are fetched: who looks for older ones says so by a condition


class Audit(Listing[AuditView]):
    """The newest entries that meet the conditions."""

    TITLE_WORD = "Journal"
    EMPTY = "the journal has no such entry"
    FAULTS = "denied"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "WHO": lambda e: e.who,
        "WHAT": lambda e: e.what,
        "TARGET": lambda e: e.target,
    }

    def __init__(self, command: str, filter: str = "") -> None:
        self._found: list[AuditView] = []
        super().__init__(command, filter)

    def make_rows(self) -> ListRows[AuditView]:
        return ListRows()

    def items(self) -> Iterable[AuditView]:
        return self._found

    def columns(self) -> Sequence[Column[AuditView]]:
        return audit_columns(datetime.now(UTC))

    def identify(self, item: AuditView) -> str:
        return item.id

    def _narrow(self) -> None:
        self.chips([self._filter] if self._filter else [])
        self.look()

    @work(group="look", exclusive=True)
    async def look(self) -> None:
        """Ask for them."""
        try:
            query = query_of(self._filter, now=datetime.now(UTC))
        except Misuse as wrong:
            self.host.say(wrong)
            return
        try:
            self._found = await self.host.link.ask(lambda c: list(c.audit(limit=MOST, **query)))
        except Failure as failure:
            self.host.say(failure)
            return
        self.overview_changed()

    def action_refresh(self) -> None:
        """Ask for them."""
        self.look()

    def action_open(self) -> None:
        """All that it says, with what was before and after."""
        if (entry := self.table.current) is not None:
            self.app.push_screen(TextPage(f"{entry.what} {entry.target}".strip(), "\n".join(entry_lines(entry))))
