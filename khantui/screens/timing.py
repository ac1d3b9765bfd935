"""Writing a schedule: when it fires, seen beside how it was before anything is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, Select, SelectionList, Static

from backend.api.wire import ForesightView, ScheduleView
from khantui.errors import Failure
from khantui.render.firings import side_by_side
from khantui.render.text import visible
from khantui.screens.form import Form
from khantui.screens.host import Host, title
from khantui.screens.parameters import ParameterFields
from khantui.screens.timing_fields import AS_WRITTEN, CHOICES, TEXTS, policy_fields, preset, row, times_fields
from khantui.state.timing import Timing, free_name
from khantui.widgets.field import marked
from khantui.widgets.line_view import LineView

_QUIET = 0.2  # seconds without a key, after which the daemon is asked


class ScheduleForm(Form[bool]):
    """One schedule, new or as it is. It stays open, with all that was typed, until the daemon has stored it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave it"),
        Binding("ctrl+s,f2", "store", "store", priority=True),
    ]

    def __init__(self, timing: Timing, before: ScheduleView | None = None) -> None:
        super().__init__()
        self._timing = timing
        self._begun = timing
        self._before = before
        self._was: ForesightView | None = None  # what the schedule does as it is stored
        self._asked = 0  # how often the daemon was asked what would be

    @property
    def host(self) -> Host:
        """The application."""
        return cast(Host, self.app)

    def compose(self) -> ComposeResult:
        with Vertical(id="page", classes="schedule") as page:
            timing = self._timing
            page.border_title = title(
                f"schedule {timing.name} of {timing.pipeline}" if self._before is not None else "a new schedule"
            )
            page.border_subtitle = "enter store it · tab next field · esc leave it"
            with VerticalScroll(id="answers", can_focus=False):
                yield from self._fields()
            yield Static("", id="wrong", markup=False)
            with Vertical(id="foreseen", classes="panel") as panel:
                panel.border_title = "next firings"
                yield LineView(id="side-by-side")

    def _fields(self) -> Iterable[Widget]:
        timing = self._timing
        if self._before is None:
            names = [(visible(name), name) for name in sorted(self.host.overview.pipelines)]
            yield row("pipeline", Select(names, value=timing.pipeline, allow_blank=False, id="pipeline", compact=True))
            yield row("name", Input(timing.name, id="name", compact=True))
        yield from times_fields(timing, self.host.overview.pipelines)
        yield ParameterFields(id="parameters")
        yield from policy_fields(timing)

    def on_mount(self) -> None:
        self._show_kind()
        self.query_one("#cron" if self._timing.kind == "cron" else "#kind").focus()
        self.query_one(ParameterFields).declare(self._timing.pipeline, self._timing.parameters)
        self._foresee()

    # the fields

    def _show_kind(self) -> None:
        for each in self.query(".only"):
            each.display = each.has_class(self._timing.kind)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        field, value = event.input.id or "", event.value
        if field in TEXTS:
            answers: Mapping[str, str] = {field: value.strip()}
            self._timing = replace(self._timing, **answers)  # type: ignore[arg-type]
        if field == "cron":
            times = self.query_one("#times", Select)
            if times.value != preset(value):
                with times.prevent(Select.Changed):
                    times.value = preset(value)
        self._later()

    def on_parameter_fields_changed(self, message: ParameterFields.Changed) -> None:
        message.stop()
        self._timing = replace(self._timing, parameters=message.values)
        self._later()

    def on_select_changed(self, event: Select.Changed) -> None:
        event.stop()
        value = str(event.value)
        if event.select.id in CHOICES:
            answers: Mapping[str, str] = {event.select.id: value}
            self._timing = replace(self._timing, **answers)  # type: ignore[arg-type]
            self._show_kind()
        elif event.select.id == "times" and value != AS_WRITTEN:
            self.query_one("#cron", Input).value = value
        elif event.select.id == "pipeline" and value != self._timing.pipeline:
            name = free_name(value, self.host.overview.schedules)
            self._timing = replace(self._timing, pipeline=value, name=name, parameters={})
            self.query_one("#name", Input).value = name
            self.query_one(ParameterFields).declare(value, {})
        self._later()

    def on_selection_list_selected_changed(self, event: SelectionList.SelectedChanged[str]) -> None:
        event.stop()
        chosen = tuple(event.selection_list.selected)
        for index in range(event.selection_list.option_count):
            name = event.selection_list.get_option_at_index(index).value
            event.selection_list.replace_option_prompt_at_index(index, marked(name, name in chosen))
        self._timing = replace(self._timing, after=chosen)
        self._later()

    # what would be

    def _later(self) -> None:
        self._asked += 1
        at = self._asked
        self.set_timer(_QUIET, lambda: self._foresee() if at == self._asked else None)

    @work(group="foresee", exclusive=True)
    async def _foresee(self) -> None:
        """Ask the daemon what this would do, and show it beside what the schedule does now."""
        timing, ask = self._timing, self.host.link.ask
        try:
            if self._before is not None and self._was is None and not self._before.done:
                old = self._begun.body()
                self._was = await ask(lambda c: c.foresee(self._begun.name, old))
            body = timing.body()
            would = await ask(lambda c: c.foresee(timing.name, body))
        except Failure as failure:
            if timing == self._timing:
                self._tell(failure)
                self.query_one("#side-by-side", LineView).show([])
            return
        if timing == self._timing:
            self._tell(None)
            took = self.host.overview.took(timing.pipeline)
            zones = (self._begun.zone, timing.zone or "UTC")
            view = self.query_one("#side-by-side", LineView)
            view.show(side_by_side(self._was, would, zones, took, view.size.width - 1))

    def _tell(self, failure: Failure | None) -> None:
        wrong = self.query_one("#wrong", Static)
        said = "" if failure is None else " → ".join(filter(None, (failure.message, failure.hint)))
        if failure is not None and failure.exit_code == 3:
            said = f"{failure.message}: what is written here stays; store it when the daemon is back"
        wrong.update(visible(said))
        wrong.display = bool(said)

    # keys

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_store()

    @work(group="store", exclusive=True)
    async def action_store(self) -> None:
        """Store it, and be gone; what the daemon refuses is said, and everything stays as it is."""
        timing = self._timing
        if self._before is not None and timing == self._begun:
            self.notify("nothing is changed", markup=False)
            self.dismiss(False)
            return
        try:
            body = timing.body()
            made = await self.host.link.ask(lambda c: c.put_schedule(timing.name, body))
        except Failure as failure:
            self._tell(failure)
            return
        self.host.overview.put_schedule(made.name, made)
        self.host.notify(f"{made.pipeline} runs {made.when}", title=f"schedule {visible(made.name)}", markup=False)
        self.dismiss(True)

    def action_leave(self) -> None:
        """Without storing it."""
        self.dismiss(False)
