"""The terminal interface: one connection, and the screens that commands lead to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.theme import Theme

from backend.api.wire import EventView
from khantui.api.address import Address, of_context
from khantui.api.client import Client
from khantui.api.contexts import Context
from khantui.errors import Failure
from khantui.places import COMMANDS
from khantui.render.describe import describe_run, explain
from khantui.render.rows import short
from khantui.screens import acts
from khantui.screens.ask import Line
from khantui.screens.host import Host
from khantui.screens.text import TextPage
from khantui.screens.view import View
from khantui.state import settings
from khantui.state.link import Link
from khantui.state.overview import Overview
from khantui.theme import THEMES, defaults

MOST_VIEWS = 30  # screens kept below the present one
HEALTH = 5.0  # seconds between two looks at how the daemon is
MOST_PLACES = 200  # commands remembered for [ and ]


def _everything() -> type[Provider]:
    from khantui.palette import Everything

    return Everything


class KhantuiApp(Host):
    """`khantui`, on a terminal."""

    COMMANDS = {_everything}  # noqa: RUF012  as Textual declares it

    CSS_PATH = Path(__file__).parent / "khantui.tcss"
    TITLE = "khantui"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012  as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupted", show=False, priority=True),
        Binding("ctrl+p", "command_palette", "palette", show=False),
    ]

    def __init__(self, address: Address, *, read_only: bool = False, start: str = "runs", reason: str = "") -> None:
        """`reason`: why things are done in this session, for the journal, where nothing else is said."""
        super().__init__()
        self._reason = reason
        self.link = self._linked(address)
        self.overview = Overview()
        self.read_only = read_only
        self.commands = tuple(COMMANDS)
        self._start = start
        self._places: list[str] = []
        self._at = -1
        self._meanwhile: list[EventView] = []  # heard since all was last asked for
        self._renewing = False
        self._was_away = False
        for theme in THEMES:
            self.register_theme(theme)
        chosen = settings.load().theme
        self.theme = chosen if chosen in self.available_themes else "khantui-dark"

    def _linked(self, address: Address) -> Link:
        return Link(Client(address, timeout=15.0, patience=0.0, reason=self._reason), self._ask_why)

    async def _ask_why(self, said: str) -> str:
        """A reason, which the daemon wants for what it was asked; "" if none is given."""
        given: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def take(text: str | None) -> None:
            if not given.done():
                given.set_result(text)

        self.push_screen(Line(f"why? {said}", placeholder="for the journal; esc leaves it undone"), take)
        return (await given or "").strip()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return defaults(self.current_theme.dark)

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, self._keep_theme)
        self.set_interval(HEALTH, self.look_at_health)
        self._connect()

    def _keep_theme(self, theme: Theme) -> None:
        with contextlib.suppress(OSError):  # it is dark again next time, and nothing worse
            settings.keep(settings.Settings(theme.name))

    @work(group="health", exclusive=True)
    async def look_at_health(self) -> None:
        """Ask how the daemon is, and say it at once where that has changed."""
        with contextlib.suppress(Failure):
            health = await self.link.ask(lambda c: c.health())
            trouble = {"full": "etcd is full: read-only", "away": "etcd is away"}.get(health["store"], "")
            if trouble != self.trouble:
                self.trouble = trouble
                if trouble:
                    self.notify(health.get("message", trouble), severity="warning", markup=False)
                self.tell_screens()

    def _connect(self) -> None:
        self.link.listen(self._hear)
        self.link.watch(self._link_changed)
        self.go(self._start)
        self.link.start()

    async def on_unmount(self) -> None:
        self.link.stop()

    def switch(self, name: str, context: Context) -> None:
        """To another daemon; nothing of this one stays."""
        self.link.stop()
        self.link = self._linked(of_context(context))
        self.overview, self.context, self.read_only = Overview(), name, context.read_only
        self.who = None
        self._was_away, self._places, self._at = False, [], -1
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self._connect()

    # what every screen has at hand

    def _link_changed(self) -> None:
        if self.link.state == "live":
            if not self.overview.loaded or self._was_away:
                self.renew()
            if not self._was_away:
                return  # what the screens asked for at their beginning is on its way
            self._was_away = False
            for screen in self.screen_stack:
                if isinstance(screen, View):
                    screen.action_refresh()
        else:
            self._was_away = True

    @work(group="overview", exclusive=True)
    async def renew(self) -> None:
        """Ask for the pipelines, the schedules and what runs."""
        self._meanwhile = []
        with contextlib.suppress(Failure):
            pipelines = await self.link.ask(lambda c: list(c.pipelines()))
            schedules = await self.link.ask(lambda c: list(c.schedules()))
            running = await self.link.ask(lambda c: [*c.runs(state=["running", "queued"], limit=2000)])
            self.overview.load(pipelines, schedules, running)
            self.overview.hear(self._meanwhile)
            self.tell_screens()
            self.who = await self.link.ask(lambda c: c.whoami())
            self.screen.refresh_bindings()

    def _hear(self, events: Sequence[EventView]) -> None:
        self._meanwhile += events
        if not self.overview.loaded:
            return
        if not self.overview.hear(events):
            self.renew()
        elif self.overview.lacking and not self._renewing:
            self._renewing = True
            self.set_timer(0.2, self.fill)
        self.tell_screens()

    @work(group="fill")
    async def fill(self) -> None:
        """Ask for those pipelines and schedules that have changed."""
        self._renewing = False
        wanted, self.overview.lacking = self.overview.lacking, set()
        for kind, name in wanted:
            with contextlib.suppress(Failure):
                if kind == "pipeline":
                    self.overview.put_pipeline(name, await self.link.ask(lambda c, n=name: c.pipeline(n)))  # type: ignore[misc]
                else:
                    self.overview.put_schedule(name, await self.link.ask(lambda c, n=name: c.schedule(n)))  # type: ignore[misc]
        self.tell_screens()

    def tell_screens(self) -> None:
        """Have the screen that is seen show what has changed."""
        if isinstance(self.screen, View):  # the others look again when they are come back to
            self.screen.overview_changed()

    # going places

    def go(self, command: str, *, remember: bool = True) -> None:
        word, _, rest = command.strip().partition(" ")
        names = [name for name in COMMANDS if name == word] or [n for n in COMMANDS if n.startswith(word)]
        if not names:
            self.notify(f"there is no command {word!r}: {', '.join(COMMANDS)}", severity="warning", markup=False)
            return
        screen = COMMANDS[names[0]](self, command, rest.strip())
        if screen is None:
            return
        if len(self.screen_stack) > MOST_VIEWS:
            self.pop_screen()
        self.push_screen(screen)
        if remember:
            del self._places[self._at + 1 :]
            self._places.append(command)
            del self._places[:-MOST_PLACES]
            self._at = len(self._places) - 1

    def step(self, by: int) -> None:
        place = self._at + by
        if 0 <= place < len(self._places):
            self._at = place
            self.go(self._places[place], remember=False)

    @work(group="act")
    async def start_pipeline(self, name: str) -> None:
        """Ask with what a pipeline is to run, start it, and show the run."""
        started = await acts.trigger(self, name)
        if started is not None:
            self.go(f"run {started.id}")

    @work(group="act")
    async def start_backfill(self, words: str) -> None:
        """Ask what is to be run again, start it, and show how far it is."""
        from khantui.screens.backfills import start

        if await start(self, words):
            self.go("backfills")

    @work(group="describe")
    async def describe(self, named: str, *, why: bool) -> None:
        """Show all that is known of a run, or why it is where it is."""
        run = await self.ask(lambda c: c.find_run(named))
        if run is not None:
            lines = explain(run, None, self.moment) if why else describe_run(run, self.moment)
            self.push_screen(TextPage(f"{run.pipeline} {short(run.id)}{' · why?' if why else ''}", lines))

    def action_interrupted(self) -> None:
        """Ctrl-C: twice leaves."""
        self.exit(0)
