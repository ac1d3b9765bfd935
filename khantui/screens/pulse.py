"""The pulse: one screen for whoever is on call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from backend.api.wire import DaemonView, EventView, RunView
from khantui.errors import Failure
from khantui.render.text import visible
from khantui.screens import acts
from khantui.screens.pulse_parts import list_sections, side_sections
from khantui.screens.view import View
from khantui.state.pulse import History, Item
from khantui.widgets.prompt import Kind
from khantui.widgets.sections import Section, Sections

_WIDE = 110  # columns from which on the charts stand beside the list
_PAGE = 200
_TOGETHER = 0.25  # seconds for which changes are gathered before they are drawn
_CHECK = 15.0  # seconds between two looks at the daemon


class Pulse(View):
    """What fails, runs, waits and comes next; beside it the daemon's health and the last week."""

    CSS = """
    #pulse { height: 1fr; }
    #side { width: 50%; max-width: 84; margin-left: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "log", "log"),
        Binding("r", "retry", "retry"),
        Binding("t", "trigger", "trigger"),
        Binding("w", "why", "why"),
        Binding("x", "grid", "grid"),
        Binding("d", "describe", "describe", show=False),
        Binding("s", "schedules", "schedules", show=False),
        Binding("c", "copy", "copy the id", show=False),
    ]

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.history = History()
        self.daemon: DaemonView | None = None
        self._due = False
        self._words = ""

    def about(self) -> str:
        item = self.sections.chosen if self.is_mounted else None
        return item.pipeline if item is not None else ""

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="pulse"):
            yield Sections[Item](self._list, lambda item: item.key, id="list")
            side = Sections[Item](self._side, lambda item: item.key, id="side")
            side.can_focus = False
            yield side

    @property
    def sections(self) -> Sections[Item]:
        """The list."""
        return self.query_one("#list", Sections)

    def place(self) -> list[tuple[str, str]]:
        return [(" Pulse", "strong")]

    def on_mount(self) -> None:
        self.sections.focus()
        self._unwatch_link = self.host.link.watch(self._later)
        self.set_interval(_CHECK, self.check)
        self.load()
        self.check()

    def on_unmount(self) -> None:
        self._unwatch_link()

    def on_resize(self) -> None:
        for side in self.query("#side"):
            side.display = self.app.size.width >= _WIDE

    # what it knows

    @work(group="history", exclusive=True)
    async def load(self) -> None:
        """Ask for the runs of the last week, page after page. What the charts show already stays until then."""
        history, cursor = History(), None
        while not history.loaded:
            query = {"filter": "age<7d", "limit": _PAGE} | ({"cursor": cursor} if cursor else {})
            try:
                page = await self.host.link.ask(lambda c, q=query: c.runs_page(**q))  # type: ignore[misc]
            except Failure as failure:
                if failure.exit_code != 3:
                    self.host.say(failure)
                return
            cursor = history.take(page)
            if not self.history.loaded:
                self.history = history
                self._later()
        self.history = history
        self._later()

    @work(group="health", exclusive=True)
    async def check(self) -> None:
        """Ask the daemon how it is."""
        try:
            self.daemon = await self.host.link.ask(lambda c: c.daemon())
        except Failure:  # the connection's line says it
            return
        self._later()

    def hear(self, events: Sequence[EventView]) -> None:
        if not self.history.hear(events):
            self.load()
        self._later()

    def overview_changed(self) -> None:
        super().overview_changed()
        self._later()

    def tick(self) -> None:
        super().tick()
        self._draw()

    def on_screen_resume(self) -> None:
        self._later()

    def _later(self) -> None:
        if not self._due and self.is_attached:
            self._due = True
            self.set_timer(_TOGETHER, self._draw)

    def _draw(self) -> None:
        self._due = False
        if self.is_attached and self.is_current:
            self.history.forget(self.host.moment)
            for sections in self.query(Sections):
                sections.changed()

    def _list(self, columns: int) -> list[Section[Item]]:
        found = list_sections(self.host.overview, self.history, self.host.moment, self._words)
        return found if self.app.size.width >= _WIDE else [*found, *self._side(columns)]

    def _side(self, columns: int) -> list[Section[Item]]:
        height = 4 if self.app.size.height >= 45 else 3 if self.app.size.height >= 36 else 2
        return side_sections(self.history, self.daemon, self.host.link, self.host.moment, columns, height)

    # keys

    def focus_body(self) -> None:
        self.sections.focus()

    def prompted(self, kind: Kind) -> str:
        return self._words if kind == "filter" else ""

    def said(self, kind: Kind, text: str) -> None:
        self._words = text
        self.chips([text] if text else [])
        self._draw()

    def action_back(self) -> None:
        """Take away the filter, then leave."""
        if self._words:
            self.said("filter", "")
        else:
            super().action_back()

    def action_refresh(self) -> None:
        """Ask for everything again."""
        self.load()
        self.check()

    def on_sections_opened(self) -> None:
        """Into the run, or to the runs of the schedule's pipeline."""
        item = self.sections.chosen
        if item is not None:
            self.host.go(f"run {item.run.id}" if item.run else f"runs pipeline={item.pipeline}")

    def _go(self, word: str) -> None:
        item = self.sections.chosen
        if item is not None and item.run_id:
            self.host.go(f"{word} {item.run_id}")
        elif item is not None:
            self.notify(f"{visible(item.pipeline)} has not run by this schedule yet", markup=False)

    def action_log(self) -> None:
        """To the log of the run, or of the last one that the schedule started."""
        self._go("log")

    def action_why(self) -> None:
        """Why it failed or waits."""
        self._go("why")

    def action_describe(self) -> None:
        """All that is known of it."""
        self._go("describe")

    def action_grid(self) -> None:
        """The pipeline's runs and their stages."""
        if (item := self.sections.chosen) is not None:
            self.host.go(f"grid {item.pipeline}")

    def action_schedules(self) -> None:
        """What starts the pipeline."""
        if (item := self.sections.chosen) is not None and item.pipeline:
            self.host.go(f"schedules pipeline={item.pipeline}")

    async def _chosen_run(self) -> RunView | None:
        item = self.sections.chosen
        if item is None or not item.run_id:
            return None
        return item.run or await self.host.ask(lambda c: c.run(item.run_id))

    @work(group="act")
    async def action_retry(self) -> None:
        """Retry what failed in it."""
        if (run := await self._chosen_run()) is not None:
            await acts.retry(self.host, [run])

    @work(group="act")
    async def action_trigger(self) -> None:
        """Start the pipeline."""
        if (item := self.sections.chosen) is not None:
            await acts.trigger(self.host, item.pipeline)

    def action_copy(self) -> None:
        """Put the run's id on the clipboard, or the schedule's name."""
        if (item := self.sections.chosen) is not None:
            text = item.run.id if item.run else item.schedule.name if item.schedule else item.pipeline
            self.app.copy_to_clipboard(text)
            self.notify(f"copied {visible(text)}", markup=False)
