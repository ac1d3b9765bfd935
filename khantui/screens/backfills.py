"""Backfills: how far each is, stopped and ended as one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from backend.api.wire import BackfillPreview, BackfillView, StartBackfill
from khantui.render.moments import stamp
from khantui.render.rows import backfill_columns
from khantui.render.table import Column
from khantui.screens.ask import Confirm, Line
from khantui.screens.host import Host
from khantui.screens.listing import Listing
from khantui.state.rows import ListRows

FIELDS = frozenset(("id", "pipeline", "state", "by"))
NEWEST = 500  # that are listed
_SOON = 0.3  # seconds for which news are gathered


class Backfills(Listing[BackfillView]):
    """The newest backfills."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "its runs", show=False),
        Binding("n", "new_backfill", "new"),
        Binding("s", "hold_backfill", "pause/resume"),
        Binding("ctrl+d", "cancel_backfill", "cancel"),
    ]
    TITLE_WORD = "Backfills"
    EMPTY = "there is no backfill yet: n makes one"
    FAULTS = "state=failed"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {"PIPELINE": lambda b: b.pipeline, "STATE": lambda b: b.state}

    def __init__(self, command: str, filter: str = "") -> None:
        self._found: list[BackfillView] = []
        self._asking = False
        super().__init__(command, filter)

    def on_mount(self) -> None:
        super().on_mount()
        self.look()

    def make_rows(self) -> ListRows[BackfillView]:
        return ListRows(subject=subject, fields=FIELDS)

    def items(self) -> Iterable[BackfillView]:
        return self._found

    def columns(self) -> Sequence[Column[BackfillView]]:
        return backfill_columns(self.host.moment)

    def identify(self, item: BackfillView) -> str:
        return item.id

    def overview_changed(self) -> None:
        super().overview_changed()
        if not self._asking:
            self._asking = True
            self.set_timer(_SOON, self.look)

    @work(group="look", exclusive=True)
    async def look(self) -> None:
        """Ask how they are."""
        self._asking = False
        found = await self.host.ask(lambda c: list(c.backfills(limit=NEWEST)))
        if found is not None:
            self._found = found
            super().overview_changed()

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
    """Start a backfill: of `PIPELINE FROM TO [STEP]`, or of what is asked for; after a look at what it would do."""
    if not host.allows("new_backfill"):
        return False
    if len(words.split()) < 3:
        said = await host.push_screen_wait(
            Line("backfill: PIPELINE FROM TO [STEP]", f"{words} ".lstrip(), "weekly-learners 2026-03-01 2026-03-31 1d")
        )
        words = said or ""
    name, *rest = words.split(maxsplit=3) or [""]
    if len(rest) < 2:
        if words:
            host.notify("say the pipeline, from when and to when", severity="warning", markup=False)
        return False
    body = StartBackfill(rest[0], rest[1], rest[2] if len(rest) > 2 else "")
    seen = await host.ask(lambda c: c.preview_backfill(name, body, 8))
    if seen is None or not await host.push_screen_wait(
        Confirm(f"Backfill {name}: {seen.total - seen.good} runs?", _would(seen), yes="start it", harmless=True)
    ):
        return False
    made = await host.ask(lambda c: c.start_backfill(name, body))
    if made is not None:
        host.notify(f"backfill {made.id} of {name} is started", markup=False)
    return made is not None


def _would(seen: BackfillPreview) -> str:
    lines = [f"from {stamp(seen.start)} to {stamp(seen.end)}, step {seen.step}, one at a time"]
    lines += [f"{seen.good} of {seen.total} are good already"] if seen.good else []
    for moment in seen.moments:
        environment = " ".join(f"{name}={value}" for name, value in moment.environment.items())
        lines.append(f"{stamp(moment.logical_time)}  {'good already' if moment.good else environment}")
    if len(seen.moments) < seen.total:
        lines.append(f"… and {seen.total - len(seen.moments)} more")
    return "\n".join(lines)


def subject(backfill: BackfillView) -> dict[str, object]:
    """What the filter language can ask about a backfill."""
    return {
        "id": backfill.id,
        "pipeline": backfill.pipeline,
        "state": backfill.state,
        "by": backfill.created_by,
    }
