"""Runs × stages of one pipeline: which runs are held, which rows they have, what stands in a cell. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from backend.api.wire import EventView, Page, RunView, StageView

MOST_RUNS = 100
MOST_UNFOLDED = 12  # instances; a stage with more is folded at first
_PAGE = 20  # runs asked for at once, of a pipeline with few stages
_CELLS = 4_000  # asked for at once, at most
# the worst first: what a folded stage shows of its instances
WORST = ("failed", "cancelled", "retrying", "running", "queued", "waiting", "skipped", "succeeded", "reused")
_RANK = {state: rank for rank, state in enumerate(WORST)}


class Mark(NamedTuple):
    """A stage of a run, as far as the grid shows it."""

    state: str
    attempts: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    message: str = ""


class Shape(NamedTuple):
    """A stage of a pipeline: its instance's name, its stage and its level in the graph."""

    name: str
    stage: str
    level: int


class RunColumn(NamedTuple):
    """A run (without its stages), and the marks of them by name."""

    run: RunView
    marks: dict[str, Mark]
    shapes: tuple[Shape, ...]


class Row(NamedTuple):
    """A line of the grid: a stage, one instance, or (with `members`) a stage that stands for its instances."""

    name: str
    stage: str
    members: tuple[str, ...] = ()
    folded: bool = False
    inside: bool = False  # an instance, under its stage

    @property
    def key(self) -> str:
        """What the cursor keeps to; a stage may be called as its only instance is."""
        return f"{self.stage}/*" if self.members else self.name


class Asked(NamedTuple):
    """A page, converted: made beside the event loop, for it may be large."""

    columns: tuple[RunColumn, ...]
    cursor: str | None


def page_size(stages: int) -> int:
    """How many runs to ask for at once."""
    return max(2, min(_PAGE, _CELLS // max(1, stages)))


def converted(page: Page) -> Asked:
    """The columns of a page, the newest first."""
    return Asked(tuple(column_of(msgspec.convert(item, RunView)) for item in page.items), page.cursor)


def column_of(run: RunView) -> RunColumn:
    """A run's column."""
    stages = run.stages if isinstance(run.stages, tuple) else ()
    return RunColumn(
        replace(run, stages=msgspec.UNSET, environment=msgspec.UNSET),
        {s.name: mark_of(s) for s in stages},
        tuple(Shape(s.name, s.stage, s.level) for s in stages),
    )


def mark_of(stage: StageView) -> Mark:
    """A stage's mark."""
    last = stage.attempts[-1].message if stage.attempts else ""
    message = stage.message or (last if stage.state in ("failed", "retrying", "cancelled") else "")
    return Mark(str(stage.state), len(stage.attempts), stage.started, stage.ended, message)


class Grid:
    """The newest runs of a pipeline, the newest last, and the stages that they have."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.columns: list[RunColumn] = []
        self.rows: list[Row] = []
        self.loaded = False
        self.dirty: dict[str, None] = {}  # runs to be asked for again, those that have waited longest first
        self.faults_only = False
        self.words = ""
        self._cursor: str | None = None
        self._folded: dict[str, bool] = {}  # by stage, as far as it has been decided

    def anew(self) -> Grid:
        """An empty grid under the same conditions, with the same stages folded."""
        grid = Grid(self.pipeline)
        grid.faults_only, grid.words, grid._folded = self.faults_only, self.words, dict(self._folded)
        return grid

    @property
    def more(self) -> str | None:
        """The cursor of the runs to the left; None if there are none, or enough."""
        return self._cursor if len(self.columns) < MOST_RUNS else None

    def index(self, run: str) -> int | None:
        """Where a run is."""
        return next((i for i, c in enumerate(self.columns) if c.run.id == run), None)

    def cell(self, row: str, run: str) -> tuple[Row, RunColumn] | None:
        """The line and the column of these keys."""
        at, line = self.index(run), next((r for r in self.rows if r.key == row), None)
        return (line, self.columns[at]) if line is not None and at is not None else None

    def take(self, asked: Asked) -> int:
        """Take in a page, to the left of what is there; returns how many columns came."""
        have = {c.run.id for c in self.columns}
        room = MOST_RUNS - len(self.columns)
        fresh = [c for c in asked.columns if c.run.id not in have][:room]
        self.columns[:0] = reversed(fresh)
        self._cursor, self.loaded = asked.cursor, True
        self.arrange()
        return len(fresh)

    def put(self, column: RunColumn) -> bool:
        """A run as it is now; a new one goes where its id says. False if it is older than what is held."""
        at = self.index(column.run.id)
        if at is not None:
            if self.columns[at].run.revision > column.run.revision:
                return False
            self.columns[at] = column
        else:
            place = next((i for i, c in enumerate(self.columns) if c.run.id > column.run.id), len(self.columns))
            if place == 0 and (self._cursor is not None or len(self.columns) >= MOST_RUNS):
                return False  # it comes with the pages to the left
            self.columns.insert(place, column)
            del self.columns[:-MOST_RUNS]
        self.arrange()
        return True

    def hear(self, events: Iterable[EventView]) -> bool | None:
        """Take in what happened: whether anything has changed; None if everything must be asked for anew."""
        changed = False
        for event in events:
            if event.kind == "relist":
                return None
            if event.kind == "run":
                changed |= self._hear_run(event)
            elif event.kind == "stage":
                changed |= self._hear_stage(event)
        return changed

    def _hear_run(self, event: EventView) -> bool:
        at = self.index(event.id)
        if event.object is None:
            if at is None:
                return False
            del self.columns[at]
            self.dirty.pop(event.id, None)
            self.arrange()
            return True
        if event.object.get("pipeline") != self.pipeline:
            return False
        run = msgspec.convert(event.object, RunView)
        if at is None:
            if self.columns and run.id < self.columns[0].run.id:
                return False
            self.dirty[run.id] = None
            return self.put(RunColumn(run, {}, ()))
        if self.columns[at].run.revision >= run.revision:
            return False
        self.dirty[run.id] = None
        self.columns[at] = self.columns[at]._replace(run=run)
        return True

    def _hear_stage(self, event: EventView) -> bool:
        run, _, name = event.id.partition("/")
        at = self.index(run)
        if at is None or event.object is None:
            return False
        self.dirty[run] = None
        marks, state = self.columns[at].marks, event.object.get("state", "waiting")
        if name not in marks or marks[name].state == state:
            return False
        self.columns[at] = self.columns[at]._replace(marks=marks | {name: marks[name]._replace(state=str(state))})
        return True

    # rows

    def fold(self, stage: str) -> None:
        """Fold a stage, or unfold it."""
        self._folded[stage] = not self._folded.get(stage, False)
        self.arrange()

    def arrange(self) -> None:
        """Make the rows anew: the stages of all runs in the order of the newest that has them."""
        groups: dict[str, dict[str, None]] = {}
        levels: dict[str, int] = {}
        seen: tuple[Shape, ...] | None = None
        for column in reversed(self.columns):
            if column.shapes == seen:
                continue
            seen = column.shapes
            for name, stage, level in column.shapes:
                groups.setdefault(stage, {})[name] = None
                levels.setdefault(stage, level)
        self.rows = []
        for stage in sorted(groups, key=lambda s: levels[s]):  # the sort is stable: within a level as they came
            names = [name for name in groups[stage] if self._shown(name)]
            if names:
                self.rows += self._rows_of(stage, names, len(groups[stage]))

    def _rows_of(self, stage: str, names: list[str], instances: int) -> list[Row]:
        if names == [stage]:
            return [Row(stage, stage)]
        folded = self._folded.setdefault(stage, instances > MOST_UNFOLDED)
        head = Row(stage, stage, tuple(names), folded)
        return [head] if folded else [head, *(Row(name, stage, inside=True) for name in names)]

    def _shown(self, name: str) -> bool:
        if not all(word.lower() in name.lower() for word in self.words.split()):
            return False
        return not self.faults_only or any(
            (mark := c.marks.get(name)) is not None and mark.state in ("failed", "retrying") for c in self.columns
        )

    # cells

    def state(self, row: Row, column: RunColumn) -> str:
        """What a cell shows; empty where the run has no such stage."""
        if not row.members:
            mark = column.marks.get(row.name)
            return mark.state if mark is not None else ""
        return worst(mark.state for name in row.members if (mark := column.marks.get(name)) is not None)

    def states(self, row: Row, column: RunColumn) -> Counter[str]:
        """How many instances of a stage are in which state."""
        return Counter(mark.state for name in row.members if (mark := column.marks.get(name)) is not None)


def worst(states: Iterable[str]) -> str:
    """The state that matters most; empty if there is none."""
    return min(set(states), key=lambda s: _RANK.get(s, len(WORST)), default="")


class Heads(NamedTuple):
    """The logical times of the runs, a part of each on a line, and what they have in common."""

    common: str
    lines: tuple[tuple[str, ...], ...]  # line -> column -> text of two characters


_PARTS = ("%y", "%m", "%d", "%H", "%M", "%S")
_COMMON = ("", "20%y", "20%y-%m", "20%y-%m-%d", "20%y-%m-%d", "20%y-%m-%d")


def heads(times: Sequence[datetime]) -> Heads:
    """From the first part that differs to the last that does; minutes only where hours are not enough, and so on."""
    if not times:
        return Heads("", ())
    parts = [tuple(time.strftime(part) for time in times) for part in _PARTS]
    differ = [i for i, part in enumerate(parts[:5]) if len(set(part)) > 1]
    first, last = (differ[0], differ[-1]) if differ else (2, 4)
    if last == 3 or (first == last == 4):  # an hour without its minutes says little
        first, last = min(first, 3), 4
    return Heads(times[-1].strftime(_COMMON[first]), tuple(parts[first : last + 1]))


def seconds(run: RunView, now: datetime) -> float | None:
    """How long a run took, or has taken so far."""
    return ((run.ended or now) - run.started).total_seconds() if run.started else None
