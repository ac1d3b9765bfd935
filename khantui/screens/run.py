"""One run: its graph, its stages over time, and the log of the chosen stage. A failed one opens on its first error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

import msgspec
from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from backend.api.wire import EventView, RetryRun, RunView, StageView
from khantui.errors import Failure
from khantui.render.describe import describe_run, describe_stage, explain
from khantui.render.gantt import Bar, Span
from khantui.render.graph import Node
from khantui.render.moments import span, stamp
from khantui.render.rows import short, stage_columns, started_by
from khantui.render.status import symbol
from khantui.render.text import visible
from khantui.screens import acts
from khantui.screens.log_panel import LogPanel
from khantui.screens.text import TextPage
from khantui.screens.view import View
from khantui.state.log_source import OneLog
from khantui.state.rows import ListRows
from khantui.widgets.gantt_view import GanttView
from khantui.widgets.graph_view import GraphView
from khantui.widgets.prompt import Kind
from khantui.widgets.resource_table import ResourceTable
from khantui.widgets.stage_picture import StagePicture

_PATIENCE = 0.05  # seconds for which changes are gathered before the run is asked for again


class RunScreen(View):
    """A run, as it goes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "prompt('search')", "search the log", priority=True),
        Binding("tab", "other(1)", "next part", show=False, priority=True),
        Binding("shift+tab", "other(-1)", "part before", show=False, priority=True),
        Binding("l", "log", "log", show=False),
        Binding("L", "merge", "logs as one"),
        Binding("F", "everywhere", "find in all runs", show=False),
        Binding("x", "picture", "graph/stages/time"),
        Binding("r", "retry", "retry"),
        Binding("R", "retry_from", "retry from here"),
        Binding("t", "trigger", "trigger", show=False),
        Binding("ctrl+d", "cancel", "cancel"),
        Binding("w", "why", "why"),
        Binding("equals_sign", "against", "against the last good run", show=False),
        Binding("d", "describe", "describe"),
        Binding("y", "json", "JSON", show=False),
        Binding("e", "edit", "edit", show=False),
        Binding("a", "artifacts", "artifacts", show=False),
        Binding("s", "schedules", "schedules", show=False),
        Binding("p", "attempt(-1)", "attempt before", show=False),
        Binding("P", "attempt(1)", "attempt after", show=False),
        Binding("n", "find(1)", "next error", show=False),
        Binding("N", "find(-1)", "error before", show=False),
        Binding("f", "full", "full screen", show=False),
        Binding("c", "copy", "copy the id", show=False),
    ]

    def __init__(
        self, command: str, named: str, *, at_log: bool = False, at: Sequence[LogPlace] = (), merged: bool = False
    ) -> None:
        super().__init__(command)
        self._named = named
        self._at_log = at_log
        self._place = at[0] if len(at) == 1 else None  # where the log is to be opened
        self._merged = tuple(p.stage for p in at) if merged or len(at) > 1 else None  # whose logs as one; none: of all
        self._chosen = at[0].stage if at else ""
        self._by_hand = bool(at)
        self._run: RunView | None = None
        self._critical: set[str] = set()
        self._asking = False
        self._again = False
        self._stages: ListRows[StageView] = ListRows()

    def about(self) -> str:
        return self._run.pipeline if self._run is not None else ""

    def body(self) -> Iterable[Widget]:
        with Vertical(id="run"):
            with Horizontal(id="upper"):
                with ContentSwitcher(initial="graph", id="left", classes="panel"):
                    yield GraphView(id="graph")
                    yield ResourceTable[StageView](
                        lambda: stage_columns(self.host.moment), lambda s: s.name, id="stages", empty="…"
                    )
                with Vertical(id="right", classes="panel"):
                    yield GanttView(id="gantt")
            yield LogPanel(id="lower")

    def on_mount(self) -> None:
        self.graph.focus()
        self.load()
        if self._place is not None and self._merged is None:
            self.log_panel.ahead(OneLog(self._named, self._place.stage, self._place.attempt))

    @property
    def graph(self) -> GraphView:
        """The graph."""
        return self.query_one("#graph", GraphView)

    @property
    def log_panel(self) -> LogPanel:
        """The log."""
        return self.query_one("#lower", LogPanel)

    def place(self) -> list[tuple[str, str]]:
        run = self._run
        if run is None:
            return [(f" run {visible(self._named)} …", "faint")]
        return [
            (f" {visible(run.pipeline)}  ", "strong"),
            (f"{symbol(run.state)} {run.state}", str(run.state)),
            (f" {span(run.started, run.ended, self.host.moment)}", ""),
            (f"  {', '.join(run.asked)} asked for" if isinstance(run.asked, tuple) and run.asked else "", "warning"),
            (f"  {visible(run.message)}" if run.message else "", "failed" if run.state == "failed" else ""),
            (f"  › {short(run.id)} · v{run.version} · {stamp(run.logical_time)}", "faint"),
            (f" · {visible(started_by(run))}", "faint"),
        ]

    # what it knows

    @work(group="run")
    async def load(self) -> None:
        """Ask for the run; once more if it changed meanwhile."""
        if self._asking:
            self._again = True
            return
        self._asking = True
        try:
            named = self._run.id if self._run is not None else self._named
            run = await self.host.link.ask(lambda c: c.find_run(named))
            if self._run is None:
                self.command = f"run {run.id}"
                self.plan(run)
            self._show(run)
        except Failure as failure:
            if failure.exit_code != 3:
                self.host.say(failure)
                if self._run is None:
                    self.log_panel.nothing(failure.message)
        finally:
            self._asking = False
            if self._again:
                self._again = False
                self.set_timer(_PATIENCE, self.load)

    @work(group="plan")
    async def plan(self, run: RunView) -> None:
        """Ask for the version's plan: its critical path."""
        try:
            version = await self.host.link.ask(lambda c: c.version(run.pipeline, run.version))
        except Failure:
            return
        plan = version.plan if isinstance(version.plan, dict) else {}
        self._critical = set(plan.get("critical_path", ()))
        if self._run is not None:
            self._draw(self._run)

    def hear(self, events: Sequence[EventView]) -> None:
        run = self._run
        if run is None:
            self._again = self._again or self._asking
            return
        for event in events:
            if event.kind == "relist" or event.id == run.id or event.id.startswith(run.id + "/"):
                self.set_timer(_PATIENCE, self.load)
                return

    def _show(self, run: RunView) -> None:
        before, self._run = self._run, run
        stages = run.stages if isinstance(run.stages, tuple) else ()
        names = [s.name for s in stages]
        if not self._by_hand or self._chosen not in names:
            self._chosen = first_to_see(stages)
        self._draw(run)
        self._open_log(fresh=before is None)
        self.show_heading()
        if before is None and self._at_log:
            self.log_panel.view.focus()

    def _draw(self, run: RunView) -> None:
        stages = run.stages if isinstance(run.stages, tuple) else ()
        self.graph.show([node(s, self._critical) for s in stages])
        self.graph.selected = self._chosen
        gantt = self.query_one("#gantt", GanttView)
        gantt.show([bar(s) for s in stages], run.ended or self.host.moment)
        gantt.selected = self._chosen
        self._stages.put(stages)
        self.query_one("#upper").styles.height = self._height(len(stages))
        table = self.query_one("#stages", ResourceTable)
        table.show(self._stages)
        self._titles()

    def _height(self, stages: int) -> int:
        """What the graph and the time line need, and not more than two fifths of the screen."""
        needed = stages + 3
        return max(5, min(needed, self.size.height * 2 // 5))

    def _titles(self) -> None:
        run = self._run
        if run is None:
            return
        left, right = self.query_one("#left"), self.query_one("#right")
        progress = run.progress
        done = sum(progress.get(s, 0) for s in ("succeeded", "reused", "failed", "cancelled", "skipped"))
        showing = self.query_one("#left", ContentSwitcher).current
        left.border_title = f"{showing} · {done} of {progress.get('total', 0)}"
        right.border_title = f"time · {span(run.started, run.ended, self.host.moment)}"

    def tick(self) -> None:
        super().tick()
        run = self._run
        if run is not None and run.ended is None:
            stages = run.stages if isinstance(run.stages, tuple) else ()
            self.query_one("#gantt", GanttView).show([bar(s) for s in stages], self.host.moment)
            self.query_one("#stages", ResourceTable).tick()
            self._titles()

    # the chosen stage

    @property
    def stage(self) -> StageView | None:
        """The chosen stage."""
        return next((s for s in self._stages.items if s.name == self._chosen), None)

    def _choose(self, name: str) -> None:
        if name == self._chosen:
            return
        self._chosen, self._by_hand = name, True
        self.graph.selected = name
        self.query_one("#gantt", GanttView).selected = name
        self._open_log(fresh=True)

    def _open_log(self, *, fresh: bool) -> None:
        run, stage, panel = self._run, self.stage, self.log_panel
        if run is None:
            return
        if stage is None:
            panel.nothing("this run has no stages")
            return
        if self._merged is not None:
            meant = [s for s in self._stages.items if not self._merged or {s.name, s.stage} & set(self._merged)]
            names = [f"{s.name}{f'#{len(s.attempts)}' if len(s.attempts) > 1 else ''}" for s in meant]
            panel.open_several(run.id, self._merged, names, to_error=run.state == "failed")
            return
        holder = stage.reused_from or run.id
        numbers = [a.number for a in stage.attempts]
        shown = panel.source if isinstance(panel.source, OneLog) else None
        same = shown is not None and (shown.run, shown.stage) == (holder, stage.name)
        if not fresh and same and numbers == panel.attempts:
            return
        if not numbers and not stage.reused_from:
            panel.nothing(f"{visible(stage.name)}: {visible(stage.message) or str(stage.state)}")
            return
        bad = stage.state in ("failed", "retrying")
        place, self._place = self._place, None
        if place is not None and place.stage == stage.name and (stage.reused_from or place.attempt in (0, *numbers)):
            panel.open(holder, stage.name, numbers, to_error=bad, number=place.attempt or None, line=place.line)
        else:
            panel.open(holder, stage.name, numbers, to_error=bad)

    def on_stage_picture_selected(self, message: StagePicture.Selected) -> None:
        self._choose(message.name)

    def on_stage_picture_opened(self, message: StagePicture.Opened) -> None:
        self.action_log()

    def on_resource_table_opened(self, message: ResourceTable.Opened) -> None:
        self.action_log()

    def on_resource_table_moved(self) -> None:
        table = self.query_one("#stages", ResourceTable)
        if table.has_focus and table.current is not None:
            self._choose(table.current.name)

    # keys

    def said(self, kind: Kind, text: str) -> None:
        self.log_panel.search(text)

    def focus_body(self) -> None:
        self.log_panel.view.focus()

    def action_back(self) -> None:
        """End a search, leave the full screen, or go back."""
        panel = self.log_panel
        if self.maximized is not None:
            self.minimize()
        elif panel.view.pattern is not None:
            panel.search("")
        else:
            super().action_back()

    def action_refresh(self) -> None:
        """Ask for the run again."""
        self.load()

    def action_other(self, by: int) -> None:
        """To the next part of the screen."""
        left = self.query_one("#left", ContentSwitcher)
        parts: list[Widget] = [self.query_one(f"#{left.current}")] if left.display else []
        parts += [self.query_one("#gantt")] if self.query_one("#right").display else []
        parts.append(self.log_panel.view)
        at = parts.index(self.focused) if self.focused in parts else 0
        parts[(at + by) % len(parts)].focus()

    def action_picture(self) -> None:
        """The graph, or the stages as a list; where there is no room for the time line, that as well."""
        left, upper = self.query_one("#left", ContentSwitcher), self.query_one("#upper")
        narrow = self.has_class("-narrow")
        if narrow and left.current == "stages" and not upper.has_class("time"):
            upper.add_class("time")
        else:
            upper.remove_class("time")
            left.current = "stages" if left.current == "graph" else "graph"
        self.query_one("#gantt" if upper.has_class("time") else f"#{left.current}").focus()
        self._titles()

    def action_log(self) -> None:
        """To the log."""
        self.log_panel.view.focus()

    def action_merge(self) -> None:
        """The logs of the stages that are marked in the list, or of all, as one; or that of the chosen one again."""
        if self._run is None:
            return
        marked = self.query_one("#stages", ResourceTable).marked
        names = tuple(s.name for s in self._stages.items if s.name in marked)
        self._merged = names if self._merged is None else None
        self._open_log(fresh=True)
        self.log_panel.view.focus()

    def on_log_panel_picked(self, message: LogPanel.Picked) -> None:
        """From a line of the merged log to that stage's own log, at that line."""
        line = message.line
        self._merged, self._by_hand = None, True
        self._chosen, self._place = line.stage, LogPlace(line.stage, line.attempt, line.line)
        if self._run is not None:
            self._draw(self._run)
        self._open_log(fresh=True)

    def action_everywhere(self) -> None:
        """What is searched for, or errors, in the logs of all runs of this pipeline."""
        if self._run is not None:
            self.host.go(f"search {self._run.pipeline} {self.log_panel.wanted}".strip())

    def action_full(self) -> None:
        """The whole screen for the log."""
        self.log_panel.action_full()

    def action_attempt(self, by: int) -> None:
        """The log of another attempt."""
        self.log_panel.action_attempt(by)

    def action_find(self, by: int) -> None:
        """The next error, or match."""
        self.log_panel.action_next(by)

    @work(group="act")
    async def action_retry(self) -> None:
        """Retry what failed."""
        if self._run is not None:
            self._by_hand = False
            await acts.retry(self.host, [self._run])

    @work(group="act")
    async def action_retry_from(self) -> None:
        """Retry the chosen stage and all that follows it."""
        if self._run is not None and self._chosen:
            await acts.retry(self.host, [self._run], RetryRun(from_stage=self._chosen))

    @work(group="act")
    async def action_cancel(self) -> None:
        """Cancel the run."""
        if self._run is not None:
            await acts.cancel(self.host, [self._run])

    @work(group="act")
    async def action_trigger(self) -> None:
        """Start the pipeline again."""
        if self._run is not None:
            started = await acts.trigger(self.host, self._run.pipeline)
            if started is not None:
                self.host.go(f"run {started.id}")

    def action_edit(self) -> None:
        """Edit the pipeline's document."""
        if self._run is not None:
            self.host.go(f"edit {self._run.pipeline}")

    def action_schedules(self) -> None:
        """What starts the pipeline."""
        if self._run is not None:
            self.host.go(f"schedules pipeline={self._run.pipeline}")

    def action_artifacts(self) -> None:
        """What it read and wrote."""
        if self._run is not None:
            self.host.go(f"artifacts {self._run.id}")

    @work(group="act")
    async def action_against(self) -> None:
        """What is different from the last good run."""
        if (run := self._run) is not None:
            await acts.compare_with_last_good(self.host, run)

    def action_why(self) -> None:
        """Why the chosen stage waits or failed, and the run."""
        if self._run is not None:
            stage = self.stage
            if stage is not None and stage.state in ("succeeded", "reused", "running"):
                stage = None
            self.app.push_screen(TextPage("why?", explain(self._run, stage, self.host.moment)))

    def action_describe(self) -> None:
        """All that is known: of the chosen stage, then of the run."""
        run, stage, now = self._run, self.stage, self.host.moment
        if run is None:
            return
        lines = [*describe_stage(stage, now), [("", "")], *describe_run(run, now)] if stage else describe_run(run, now)
        self.app.push_screen(TextPage(f"{run.pipeline} {short(run.id)}", lines))

    def action_json(self) -> None:
        """As the API shows it."""
        if self._run is not None:
            text = msgspec.json.format(msgspec.json.encode(self._run), indent=2).decode()
            self.app.push_screen(TextPage(f"{self._run.pipeline} {short(self._run.id)}", text, "json"))

    def action_copy(self) -> None:
        """Put the id on the clipboard."""
        if self._run is not None:
            self.app.copy_to_clipboard(self._run.id)
            self.notify(f"copied {self._run.id}", markup=False)


class LogPlace(NamedTuple):
    """A line of a stage's log; 0 is the newest attempt, and no line."""

    stage: str
    attempt: int = 0
    line: int = 0

    @classmethod
    def parse(cls, text: str) -> LogPlace:
        """`by_region`, `by_region#1`, `by_region:1204` or `by_region#1:1204`."""
        rest, _, line = text.partition(":")
        stage, _, attempt = rest.partition("#")
        return cls(stage, int(attempt) if attempt.isdecimal() else 0, int(line) if line.isdecimal() else 0)


def first_to_see(stages: Sequence[StageView]) -> str:
    """The stage that a person wants to see first: what failed first, else what runs, else what ran last."""
    failed = [s for s in stages if s.state == "failed"]
    if failed:
        return min(failed, key=lambda s: (s.ended is None, s.ended, s.name)).name
    for state in ("retrying", "running"):
        for stage in stages:
            if stage.state == state:
                return stage.name
    ran = [s for s in stages if s.ended is not None and s.attempts]
    if ran:
        return max(ran, key=lambda s: (s.ended, s.level)).name
    return stages[0].name if stages else ""


def node(stage: StageView, critical: set[str]) -> Node:
    """A stage in the graph."""
    on_path = stage.name in critical or stage.stage in critical
    return Node(stage.name, stage.name, str(stage.state), stage.needs, stage.level, on_path, stage.stage)


def bar(stage: StageView) -> Bar:
    """A stage over time."""
    spans = tuple(Span(a.started, a.ended, a.state) for a in stage.attempts if a.started is not None)
    return Bar(stage.name, stage.name, str(stage.state), stage.ready, spans, stage.ended)
