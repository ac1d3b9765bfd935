"""The grid of a pipeline: its last runs side by side, stage by stage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from backend.api.wire import EventView, RetryRun
from khantui.errors import Failure
from khantui.render.describe import describe_run, describe_stage, explain
from khantui.render.rows import short
from khantui.render.text import visible
from khantui.screens import acts
from khantui.screens.grid_cell import about, run_heads, stub
from khantui.screens.text import TextPage
from khantui.screens.view import View
from khantui.state.grid import Grid, Row, RunColumn, column_of, converted, page_size
from khantui.widgets.grid_view import GridView
from khantui.widgets.paint import Palette
from khantui.widgets.prompt import Kind

_APART = 0.2  # seconds between two runs that are asked for again
_TOGETHER = 0.1  # seconds for which changes are gathered before they are drawn


class GridScreen(View):
    """Runs × stages, kept by events."""

    CSS = "#cell { height: 1; background: $surface; padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "retry", "retry"),
        Binding("R", "retry_from", "retry from here"),
        Binding("t", "trigger", "trigger"),
        Binding("w", "why", "why"),
        Binding("d", "describe", "describe"),
        Binding("x", "run", "graph of the run"),
        Binding("ctrl+d", "cancel", "cancel", show=False),
        Binding("ctrl+z", "faults", "failed only"),
        Binding("e", "edit", "edit", show=False),
        Binding("s", "schedules", "schedules", show=False),
        Binding("c", "copy", "copy the id", show=False),
    ]

    def __init__(self, command: str, pipeline: str) -> None:
        super().__init__(command)
        self.grid = Grid(pipeline)
        self._asking = False
        self._meanwhile: set[str] = set()  # runs that changed while a page was on its way
        self._anew: Grid | None = None  # to take the grid's place when its first page is there
        self._renewing = False
        self._due = False

    def about(self) -> str:
        return self.grid.pipeline

    def body(self) -> Iterable[Widget]:
        yield GridView(id="grid")
        yield Static("", id="cell", markup=False)

    @property
    def view(self) -> GridView:
        """The cells."""
        return self.query_one(GridView)

    @property
    def cell(self) -> tuple[Row, RunColumn] | None:
        """The stage and the run under the cursor."""
        return self.grid.cell(*self.view.at)

    def on_mount(self) -> None:
        self.view.focus()
        self.load()

    def place(self) -> list[tuple[str, str]]:
        grid = self.grid
        if not grid.loaded:
            return [(f" Grid {visible(grid.pipeline)} …", "strong")]
        stages, runs = len({row.stage for row in grid.rows}), f"{len(grid.columns)}{'+' if grid.more else ''}"
        return [
            (f" Grid {visible(grid.pipeline)}", "strong"),
            (f"  {stages:,} stage{'s' if stages != 1 else ''} × {runs} run{'s' if runs != '1' else ''}", "faint"),
        ]

    # what it knows

    @work(group="grid")
    async def load(self) -> None:
        """Ask for the next page to the left, or for the first."""
        if self._asking:
            return
        self._asking = True
        grid = self._anew or self.grid
        known = self.host.overview.pipelines.get(grid.pipeline)
        query = {"pipeline": grid.pipeline, "include": "stages", "limit": page_size(known.stages if known else 1)}
        query |= {"cursor": grid.more} if grid.more else {}
        self._meanwhile.clear()
        try:
            asked = await self.host.link.ask(lambda c: converted(c.runs_page(**query)))
        except Failure as failure:
            if failure.exit_code != 3:
                self.host.say(failure)
            return
        finally:
            self._asking = False
        grid.take(asked)
        grid.dirty |= dict.fromkeys(c.run.id for c in asked.columns if c.run.id in self._meanwhile)
        if grid is self._anew:
            self.grid, self._anew = grid, None
        elif self._anew is not None:
            self.load()
        self._draw()
        self.renew()

    @work(group="renew")
    async def renew(self) -> None:
        """Ask for those runs again that have changed, one after another, and not faster than they come."""
        if self._renewing:
            return
        self._renewing = True
        try:
            while self.grid.dirty:
                run, began = next(iter(self.grid.dirty)), time.monotonic()
                del self.grid.dirty[run]
                column = await self.host.link.ask(lambda c, r=run: column_of(c.run(r)))  # type: ignore[misc]
                if self.grid.put(column):
                    self._later()
                await asyncio.sleep(max(_APART, time.monotonic() - began))
        except Failure as failure:
            if failure.exit_code != 3 and failure.code != "not-found":
                self.host.say(failure)
        finally:
            self._renewing = False

    def hear(self, events: Sequence[EventView]) -> None:
        self._meanwhile |= {event.id.partition("/")[0] for event in events}
        changed = self.grid.hear(events)
        if changed is None:
            self.action_refresh()
        elif changed:
            self._later()
        if self.grid.loaded and self.grid.dirty:
            self.renew()

    def tick(self) -> None:
        super().tick()
        if any(c.run.ended is None for c in self.grid.columns[-20:]):
            self._draw()

    def _later(self) -> None:
        if not self._due and self.is_attached:
            self._due = True
            self.set_timer(_TOGETHER, self._draw)

    def on_screen_resume(self) -> None:
        self._later()

    # drawing

    def _draw(self) -> None:
        self._due = False
        if not (self.is_attached and self.is_current and self.grid.loaded):
            return
        grid, columns, rows = self.grid, list(self.grid.columns), list(self.grid.rows)
        runs, common = run_heads(columns, self.host.moment)
        self.view.empty = f"{visible(grid.pipeline)} has not run yet: t starts it"
        self.view.show(
            runs, [stub(row) for row in rows], lambda line: [grid.state(rows[line], c) for c in columns], common
        )
        said = [grid.words, "failed only" if grid.faults_only else ""]
        self.chips([word for word in said if word])
        self.show_heading()

    def on_grid_view_moved(self) -> None:
        palette, text, cell = Palette(self.app), Text(no_wrap=True, overflow="ellipsis"), self.cell
        for piece, role in about(self.grid, *cell, self.host.moment) if cell is not None else ():
            text.append(piece, palette.state(role))
        self.query_one("#cell", Static).update(text)

    # keys

    def on_grid_view_left_wanted(self) -> None:
        if self.grid.loaded and self.grid.more:
            self.load()

    def on_grid_view_folded(self) -> None:
        cell = self.cell
        if cell is not None:
            self.grid.fold(cell[0].stage)
            self._draw()

    def on_grid_view_opened(self) -> None:
        cell = self.cell
        if cell is not None:
            self.host.go(f"log {cell[1].run.id} {cell[0].name}")

    def focus_body(self) -> None:
        self.view.focus()

    def prompted(self, kind: Kind) -> str:
        return self.grid.words if kind == "filter" else ""

    def said(self, kind: Kind, text: str) -> None:
        self.grid.words = text
        self.grid.arrange()
        self._draw()

    def action_faults(self) -> None:
        """Only the stages that have failed in some run, or all again."""
        self.grid.faults_only = not self.grid.faults_only
        self.grid.arrange()
        self._draw()

    def action_back(self) -> None:
        """Take away conditions, then leave."""
        if self.grid.words or self.grid.faults_only:
            self.grid.faults_only = False
            self.said("filter", "")
        else:
            super().action_back()

    def action_refresh(self) -> None:
        """Ask for everything again; what is there stays until then."""
        self._anew = self.grid.anew()
        self.load()

    def action_run(self) -> None:
        """Into the run."""
        if self.cell is not None:
            self.host.go(f"run {self.cell[1].run.id}")

    @work(group="act")
    async def action_retry(self) -> None:
        """Retry what failed in the run."""
        if self.cell is not None:
            await acts.retry(self.host, [self.cell[1].run])

    @work(group="act")
    async def action_retry_from(self) -> None:
        """Retry this stage of the run and all that follows it."""
        if self.cell is not None:
            await acts.retry(self.host, [self.cell[1].run], RetryRun(from_stage=self.cell[0].name))

    @work(group="act")
    async def action_cancel(self) -> None:
        """Cancel the run."""
        if self.cell is not None:
            await acts.cancel(self.host, [self.cell[1].run])

    @work(group="act")
    async def action_trigger(self) -> None:
        """Start the pipeline."""
        await acts.trigger(self.host, self.grid.pipeline)

    @work(group="act")
    async def action_why(self) -> None:
        """Why the stage waits or failed; of one that did neither, the run."""
        await self._tell(why=True)

    @work(group="act")
    async def action_describe(self) -> None:
        """All that is known: of the stage, then of the run."""
        await self._tell(why=False)

    async def _tell(self, *, why: bool) -> None:
        cell = self.cell
        run = await self.host.ask(lambda c: c.run(cell[1].run.id)) if cell is not None else None
        if cell is None or run is None:
            return
        stages = run.stages if isinstance(run.stages, tuple) else ()
        stage = next((s for s in stages if s.name == cell[0].name), None)
        now, title = self.host.moment, f"{run.pipeline} {short(run.id)}"
        if why:
            told = stage is not None and stage.state in ("succeeded", "reused", "running")
            lines = explain(run, None if told else stage, now)
            self.app.push_screen(TextPage(f"{title} · why?", lines))
            return
        about_stage = [*describe_stage(stage, now), [("", "")]] if stage is not None else []
        self.app.push_screen(TextPage(title, [*about_stage, *describe_run(run, now)]))

    def action_edit(self) -> None:
        """Edit the pipeline's document."""
        self.host.go(f"edit {self.grid.pipeline}")

    def action_schedules(self) -> None:
        """What starts the pipeline."""
        self.host.go(f"schedules pipeline={self.grid.pipeline}")

    def action_copy(self) -> None:
        """Put the run's id on the clipboard."""
        if self.cell is not None:
            self.app.copy_to_clipboard(self.cell[1].run.id)
            self.notify(f"copied {self.cell[1].run.id}", markup=False)
