"""Backfills: how far each is, stopped and ended as one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from backend.api.wire import BackfillView
from khantui.render.live import live_backfill_columns
from khantui.render.table import Column
from khantui.screens.ask import Confirm
from khantui.screens.asked import Asked
from khantui.screens.filling import BackfillForm
from khantui.screens.host import Host
from khantui.state.filling import Filling
from khantui.state.rows import ListRows

FIELDS = frozenset(("id", "pipeline", "state", "by"))
NEWEST = 500  # that are listed
_SOON = 0.3  # seconds for which news are gathered


class Backfills(Asked[BackfillView]):
    """The newest backfills."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_backfill", "new"),
        Binding("s", "hold_backfill", "pause/resume"),
        Binding("ctrl+d", "cancel_backfill", "cancel"),
    ]
    TITLE_WORD = "Backfills"
    EMPTY = "there is no backfill yet: n makes one"
    FAULTS = "state=failed"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {"PIPELINE": lambda b: b.pipeline, "STATE": lambda b: b.state}

    def __init__(self, command: str, filter: str = "") -> None:
        self._asking = False
        super().__init__(command, filter)

    def make_rows(self) -> ListRows[BackfillView]:
        return ListRows(subject=subject, fields=FIELDS)

    def columns(self) -> Sequence[Column[BackfillView]]:
        return live_backfill_columns(self.host.moment, self._absolute)

    def identify(self, item: BackfillView) -> str:
        return item.id

    def overview_changed(self) -> None:
        super().overview_changed()
        if not self._asking:
            self._asking = True
            self.set_timer(_SOON, self.look)

    async def ask(self) -> Sequence[BackfillView] | None:
        self._asking = False
        return await self.host.ask(lambda c: list(c.backfills(limit=NEWEST)))

    def action_open(self) -> None:
        """The runs that it has made."""
        if (backfill := self.table.current) is not None:
            self.host.go(f"runs backfill={backfill.id}")

    @work(group="act")
    async def action_new_backfill(self) -> None:
        """Ask for a pipeline and a range, and start it."""
        at = self.table.current
        if await start(self.host, at.pipeline if at is not None else ""):
            self.look()

    @work(group="act")
    async def action_hold_backfill(self) -> None:
        """Pause what is marked, or have it go on."""
        for backfill in self._chosen():
            paused = backfill.state == "paused"
            await self.host.ask(
                lambda c, i=backfill.id, p=paused: c.resume_backfill(i) if p else c.pause_backfill(i)  # type: ignore[misc]
            )
        self.table.clear_marks()
        self.look()

    @work(group="act")
    async def action_cancel_backfill(self) -> None:
        """Cancel what is marked, with its runs, after a question."""
        chosen = self._chosen()
        named = "\n".join(f"{b.pipeline} {b.id} · {len(b.active)} runs are active" for b in chosen[:10])
        what = f"backfill {chosen[0].id}" if len(chosen) == 1 else f"{len(chosen)} backfills"
        if not chosen:
            return
        if await self.host.push_screen_wait(Confirm(f"Cancel {what}?", named, yes="cancel")):
            for backfill in chosen:
                await self.host.ask(lambda c, i=backfill.id: c.cancel_backfill(i))  # type: ignore[misc]
            self.table.clear_marks()
            self.look()

    def _chosen(self) -> list[BackfillView]:
        names = set(self.table.chosen())
        chosen = [b for b in self._found if b.id in names and b.ended is None]
        if names and not chosen:
            self.notify("it has ended", markup=False)
        return chosen


async def start(host: Host, words: str) -> bool:
    """Start a backfill, by a form that begins with what was said already: `[PIPELINE [FROM [TO [STEP]]]]`."""
    if not host.allows("new_backfill", words.split(" ")[0]):
        return False
    known = sorted(host.overview.pipelines)
    filling = Filling.of(words, known[0] if known else "")
    if filling.pipeline not in known:
        said = f"there is no pipeline {filling.pipeline!r}" if filling.pipeline else "there is no pipeline yet"
        host.notify(said, severity="warning", markup=False)
        return False
    return await host.push_screen_wait(BackfillForm(filling))


def subject(backfill: BackfillView) -> dict[str, object]:
    """What the filter language can ask about a backfill."""
    return {
        "id": backfill.id,
        "pipeline": backfill.pipeline,
        "state": backfill.state,
        "by": backfill.created_by,
    }
