"""The journal: who did what, and who was kept from it. What is asked of it, the daemon answers: it may be long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from backend.api.wire import AuditView
from khantui.errors import Failure
from khantui.render.audit import audit_columns, entry_lines
from khantui.render.table import Column
from khantui.screens.asked import Asked
from khantui.screens.text import TextPage
from khantui.state.audit import query_of
from khantui.state.rows import ListRows

MOST = 1000  # entries that are fetched: who looks for older ones says so by a condition


class Audit(Asked[AuditView]):
    """The newest entries that meet the conditions."""

    TITLE_WORD = "Journal"
    EMPTY = "the journal has no such entry"
    FAULTS = "denied"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "WHO": lambda e: e.who,
        "WHAT": lambda e: e.what,
        "TARGET": lambda e: e.target,
    }

    def make_rows(self) -> ListRows[AuditView]:
        return ListRows()

    def columns(self) -> Sequence[Column[AuditView]]:
        return audit_columns(datetime.now(UTC))

    def identify(self, item: AuditView) -> str:
        return item.id

    def begin(self) -> None:
        self._narrow()  # the conditions are the daemon's to judge: this asks

    def _narrow(self) -> None:
        self.chips([self._filter] if self._filter else [])
        self.look()

    async def ask(self) -> Sequence[AuditView] | None:
        try:
            query = query_of(self._filter, now=datetime.now(UTC))
            return await self.host.link.ask(lambda c: list(c.audit(limit=MOST, **query)))
        except Failure as error:
            self.host.say(error)
            return None

    def action_open(self) -> None:
        """All that it says, with what was before and after."""
        if (entry := self.table.current) is not None:
            self.app.push_screen(TextPage(f"{entry.what} {entry.target}".strip(), "\n".join(entry_lines(entry))))
