"""Starting a backfill: what it would run is listed while it is written, and nothing starts that was not listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Select, Static

from khantui.errors import Failure
from khantui.render.backfills import summary, would
from khantui.render.text import visible
from khantui.screens.form import Form
from khantui.screens.host import Host, title
from khantui.screens.parameters import ParameterFields
from khantui.screens.timing_fields import row, zone_field
from khantui.state.filling import AGAIN, FRESH, ORDERS, Filling
from khantui.widgets.line_view import LineView

_QUIET = 0.2  # seconds without a key, after which the daemon is asked
_LISTED = 1000  # logical times
_TEXTS = frozenset(("start", "end", "step", "zone", "parallel"))


class BackfillForm(Form[bool]):
    """Which pipeline, from when to when, and how. It stays open, with all that was typed, until it is started."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave it"),
        Binding("ctrl+s,f2", "start", "start", priority=True),
        Binding("f6", "list", "the list", priority=True),
    ]

    def __init__(self, filling: Filling) -> None:
        super().__init__()
        self._filling = filling
        self._listed: Filling | None = None  # of which the list is shown
        self._asked = 0  # how often the daemon was asked what would run

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    def compose(self) -> ComposeResult:
        with Vertical(id="page", classes="schedule") as page:
            page.border_title = title("a backfill: runs for times that have passed")
            page.border_subtitle = "enter start it · tab next field · F6 the list · esc leave it"
            with VerticalScroll(id="answers", can_focus=False):
                yield from self._fields()
                yield ParameterFields(id="parameters")
            yield Static("", id="wrong", markup=False)
            with Vertical(id="foreseen", classes="panel") as panel:
                panel.border_title = "what would run"
                yield LineView(id="would")

    def _fields(self) -> Iterable[Widget]:
        filling = self._filling
        names = [(visible(name), name) for name in sorted(self.host.overview.pipelines)]
        yield row("pipeline", Select(names, value=filling.pipeline, allow_blank=False, id="pipeline", compact=True))
        yield row("from", Input(filling.start, placeholder="2026-03-01, 2026-03-01T06:00", id="start", compact=True))
        yield row("to", Input(filling.end, placeholder="2026-03-31, that day included", id="end", compact=True))
        hint = "1d, 6h, a cron expression, a schedule's name; empty: its only schedule, or a day"
        yield row("step", Input(filling.step, placeholder=hint, id="step", compact=True))
        yield row("time zone", zone_field(filling.zone))
        yield row("at once", Input(filling.parallel, placeholder="1 to 50 runs", id="parallel", compact=True))
        yield row("order", Select(ORDERS, value=filling.order, allow_blank=False, id="order", compact=True))
        yield row("run", Select(AGAIN, value=filling.again, allow_blank=False, id="again", compact=True))
        yield row("results", Select(FRESH, value=filling.fresh, allow_blank=False, id="fresh", compact=True))

    def on_mount(self) -> None:
        self.query_one("#start" if self._filling.pipeline else "#pipeline").focus()
        self.query_one(ParameterFields).declare(self._filling.pipeline, self._filling.parameters)
        self._look()

    # the fields

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.id in _TEXTS:
            answers: Mapping[str, str] = {event.input.id: event.value}
            self._filling = replace(self._filling, **answers)  # type: ignore[arg-type]
            self._later()

    def on_select_changed(self, event: Select.Changed) -> None:
        event.stop()
        value = str(event.value)
        if event.select.id in ("order", "again", "fresh"):
            answers: Mapping[str, str] = {event.select.id: value}
            self._filling = replace(self._filling, **answers)  # type: ignore[arg-type]
        elif event.select.id == "pipeline" and value != self._filling.pipeline:
            self._filling = replace(self._filling, pipeline=value, parameters={})
            self.query_one(ParameterFields).declare(value, {})
        self._later()

    def on_parameter_fields_changed(self, message: ParameterFields.Changed) -> None:
        message.stop()
        self._filling = replace(self._filling, parameters=message.values)
        self._later()

    # what would run

    def _later(self) -> None:
        self._asked += 1
        at = self._asked
        self.set_timer(_QUIET, lambda: self._look() if at == self._asked else None)

    @work(group="would", exclusive=True)
    async def _look(self) -> None:
        """Ask the daemon what this would run, and list it."""
        await self._list(self._filling)

    async def _list(self, filling: Filling) -> bool:
        """Whether what it would run is listed now."""
        try:
            body = filling.body()
            seen = await self.host.link.ask(lambda c: c.preview_backfill(filling.pipeline, body, _LISTED))
        except Failure as failure:
            if filling == self._filling:
                self._listed = None
                self._tell(failure if filling.start and filling.end else None)
                self._show([], "what would run")
            return False
        if filling != self._filling:
            return False
        self._listed = filling
        self._tell(None)
        self._show(would(seen), summary(seen))
        return True

    def _show(self, lines: list[list[tuple[str, str]]], head: str) -> None:
        self.query_one("#foreseen").border_title = Content(head)
        self.query_one("#would", LineView).show(lines)

    def _tell(self, failure: Failure | None) -> None:
        wrong = self.query_one("#wrong", Static)
        wrong.update(visible(" → ".join(filter(None, (failure.message, failure.hint)))) if failure else "")
        wrong.display = failure is not None

    # keys

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_start()

    @work(group="start", exclusive=True)
    async def action_start(self) -> None:
        """Start it; what is not listed yet is listed first, and the key asked for once more."""
        filling = self._filling
        if self._listed != filling:
            if await self._list(filling):
                self.notify("this is what would run: enter starts it", markup=False)
            elif filling == self._filling and not (filling.start and filling.end):
                self.notify("say from when to when", severity="warning", markup=False)
            return
        body = filling.body()
        try:
            made = await self.host.link.ask(lambda c: c.start_backfill(filling.pipeline, body))
        except Failure as failure:
            self._tell(failure)
            return
        self.host.notify(f"backfill {made.id} of {filling.pipeline} is started", markup=False)
        self.dismiss(True)

    def action_list(self) -> None:
        """To the list, to look through it; and back."""
        listed = self.query_one("#would", LineView)
        (self.query_one("#start") if self.focused is listed else listed).focus()

    def action_leave(self) -> None:
        """Leave it, without starting anything."""
        self.dismiss(False)
