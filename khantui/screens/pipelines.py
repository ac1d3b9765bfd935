"""Pipelines: what there is, how it went of late, and when it runs next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from backend.api.wire import PipelineView
from khantui.render.live import live_pipeline_columns
from khantui.render.table import Column
from khantui.render.text import visible
from khantui.screens import acts
from khantui.screens.listing import Listing
from khantui.state.rows import ListRows

_NEVER = datetime.min.replace(tzinfo=UTC)
FIELDS = frozenset(("name", "owner", "description", "version", "stages", "state"))


class Pipelines(Listing[PipelineView]):
    """All pipelines by name."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "trigger", "trigger"),
        Binding("l", "last", "last run"),
        Binding("e", "edit", "edit"),
        Binding("d", "document", "document"),
        Binding("x", "grid", "grid", show=False),
        Binding("s", "schedules", "schedules"),
        Binding("b", "new_backfill", "backfill", show=False),
        Binding("ctrl+d", "delete_pipeline", "delete", show=False),
        Binding("N", "sort('PIPELINE')", "sort by name", show=False),
        Binding("A", "sort('WHEN')", "sort by age", show=False),
        Binding("S", "sort('LAST')", "sort by state", show=False),
    ]
    TITLE_WORD = "Pipelines"
    EMPTY = "there is no pipeline yet: khantui init NAME, then khantui apply; or :new"
    FAULTS = "state=failed"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "PIPELINE": lambda p: p.name,
        "WHEN": lambda p: p.last[0].created if p.last else _NEVER,
        "LAST": lambda p: str(p.last[0].state) if p.last else "",
    }

    def make_rows(self) -> ListRows[PipelineView]:
        return ListRows(subject=subject, fields=FIELDS)

    def items(self) -> Iterable[PipelineView]:
        found = self.host.overview.pipelines
        return [found[name] for name in sorted(found)]

    def columns(self) -> Sequence[Column[PipelineView]]:
        return live_pipeline_columns(self.host.moment, self._next, self._absolute)

    def identify(self, item: PipelineView) -> str:
        return item.name

    def _next(self, pipeline: PipelineView) -> datetime | None:
        schedules = (self.host.overview.schedules.get(name) for name in pipeline.schedules)
        return min((s.next[0] for s in schedules if s is not None and s.next and not s.paused), default=None)

    def action_open(self) -> None:
        """Its runs."""
        if (pipeline := self.table.current) is not None:
            self.host.go(f"runs pipeline={pipeline.name}")

    def action_last(self) -> None:
        """Its newest run."""
        pipeline = self.table.current
        if pipeline is not None and pipeline.last:
            self.host.go(f"run {pipeline.last[0].id}")
        elif pipeline is not None:
            self.notify(f"{visible(pipeline.name)} has not run yet: t starts it", markup=False)

    def action_grid(self) -> None:
        """Its runs and their stages as a grid."""
        if (pipeline := self.table.current) is not None:
            self.host.go(f"grid {pipeline.name}")

    def action_document(self) -> None:
        """Its document, graph and versions."""
        if (pipeline := self.table.current) is not None:
            self.host.go(f"pipeline {pipeline.name}")

    def action_edit(self) -> None:
        """Edit its document."""
        if (pipeline := self.table.current) is not None:
            self.host.go(f"edit {pipeline.name}")

    def action_schedules(self) -> None:
        """Its schedules."""
        if (pipeline := self.table.current) is not None:
            self.host.go(f"schedules pipeline={pipeline.name}")

    def action_new_backfill(self) -> None:
        """Runs for times that have passed."""
        if (pipeline := self.table.current) is not None:
            self.host.go(f"backfill {pipeline.name}")

    @work(group="act")
    async def action_trigger(self) -> None:
        """Start it."""
        if (pipeline := self.table.current) is not None:
            started = await acts.trigger(self.host, pipeline.name)
            if started is not None:
                self.host.go(f"run {started.id}")

    @work(group="act")
    async def action_delete_pipeline(self) -> None:
        """Delete what is marked, after a question."""
        names = self.table.chosen()
        if not names:
            return
        what = f"the pipeline {names[0]}" if len(names) == 1 else f"{len(names)} pipelines"
        lost = "their documents and versions go; runs and logs stay"
        gone = await acts.delete_each(self.host, "delete", what, lost, names, lambda c, name: c.delete_pipeline(name))
        if gone is not None:
            self.table.clear_marks()


def subject(pipeline: PipelineView) -> dict[str, object]:
    """What the filter language can ask about a pipeline."""
    return {
        "name": pipeline.name,
        "owner": pipeline.owner,
        "description": pipeline.description,
        "version": pipeline.version,
        "stages": pipeline.stages,
        "state": str(pipeline.last[0].state) if pipeline.last else "",
        **{f"label.{k}": v for k, v in pipeline.labels.items()},
    }
