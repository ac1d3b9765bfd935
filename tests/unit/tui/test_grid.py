"""The grid: which runs and rows it has, what a cell shows, and how one walks about in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from textual.app import App, ComposeResult

from backend.api.wire import AttemptView, EventView, Page, RunView, StageView
from backend.run.state import RunState, StageState, Trigger
from khantui.screens.grid_cell import about, run_heads, stub
from khantui.state.grid import Grid, Heads, converted, heads, page_size, worst
from khantui.theme import defaults
from khantui.widgets.grid_paint import RunHead, Stub
from khantui.widgets.grid_view import GridView

START = datetime(2026, 11, 23, 6, tzinfo=UTC)
DAY = timedelta(days=1)


def stage(name: str, state: str, level: int, message: str = "") -> StageView:
    attempt = AttemptView(1, state, START, START + DAY / 1440, 1, "", "exit 1")
    return StageView(
        name, name.split(".")[0], StageState(state), "shell", {}, (), level, START, START, START + DAY / 1440, None,
        message, (attempt,) if state != "waiting" else (), {}, {}, "",
    )  # fmt: skip


def identifier(number: int) -> str:
    return f"{number:010d}-aaaaaa"


def run(number: int, stages: Mapping[str, str], state: str = "succeeded", revision: int = 0) -> RunView:
    """The run of that number; the level of a stage is its first letter."""
    return RunView(
        identifier(number), "learn", 1, RunState(state), START + DAY * number, "UTC", START, START,
        START + DAY / 1440, {}, Trigger(), "", "", 1, {"total": len(stages)}, revision or number,
        tuple(stage(name, s, "abcdefgh".index(name[0])) for name, s in stages.items()),
    )  # fmt: skip


def page(*runs: RunView, cursor: str | None = None) -> Page:
    return Page([msgspec.to_builtins(r) for r in runs], cursor, None, 1)


def grid(*runs: RunView, cursor: str | None = None) -> Grid:
    """A grid of these runs, given newest first, as the API does."""
    made = Grid("learn")
    made.take(converted(page(*runs, cursor=cursor)))
    return made


def keys(made: Grid) -> list[str]:
    return [row.key for row in made.rows]


def table(made: Grid) -> dict[str, list[str]]:
    return {row.key: [made.state(row, column) for column in made.columns] for row in made.rows}


def heard(shown: RunView) -> EventView:
    summary = msgspec.structs.replace(shown, stages=msgspec.UNSET)
    return EventView(shown.revision, "run", shown.id, msgspec.to_builtins(summary))


GOOD, BAD = {"a": "succeeded", "b": "succeeded"}, {"a": "succeeded", "b": "failed"}


def test_the_newest_run_is_at_the_right() -> None:
    assert table(grid(run(2, BAD, "failed"), run(1, GOOD))) == {
        "a": ["succeeded", "succeeded"],
        "b": ["succeeded", "failed"],
    }


def test_stages_of_older_versions_stay_where_they_were() -> None:
    made = grid(run(2, {"a": "succeeded", "c": "succeeded"}), run(1, {"b": "failed", "a": "succeeded"}))
    assert table(made) == {"a": ["succeeded"] * 2, "b": ["failed", ""], "c": ["", "succeeded"]}


def test_pages_come_from_the_left_until_there_are_enough() -> None:
    made = grid(run(200, GOOD), run(199, GOOD), cursor="more")
    assert made.more == "more"
    assert made.take(converted(page(run(199, GOOD), run(198, GOOD), cursor="more"))) == 1
    assert [c.run.id for c in made.columns] == [identifier(n) for n in (198, 199, 200)]
    rest = [run(n, GOOD) for n in range(197, 50, -1)]
    assert made.take(converted(page(*rest, cursor="more"))) == 97
    assert (made.more, len(made.columns)) == (None, 100)


@pytest.mark.parametrize(("stages", "runs"), [(0, 20), (25, 20), (900, 4), (100_000, 2)])
def test_wide_pipelines_are_asked_for_in_smaller_pages(stages: int, runs: int) -> None:
    assert page_size(stages) == runs


# instances


def parts(count: int, **other: str) -> dict[str, str]:
    return (
        {"a": "succeeded"} | {f"b.{i}": "succeeded" for i in range(count)} | {f"b.{k[1:]}": v for k, v in other.items()}
    )


def test_a_stage_of_few_instances_is_unfolded_and_one_of_many_folded() -> None:
    assert keys(grid(run(1, parts(2)))) == ["a", "b/*", "b.0", "b.1"]
    assert keys(grid(run(1, parts(12))))[-1] == "b.11"
    assert keys(grid(run(1, parts(13)))) == ["a", "b/*"]


def test_a_folded_stage_shows_the_worst_of_its_instances() -> None:
    made = grid(run(2, parts(20, _3="running", _4="failed")), run(1, parts(20, _7="running")))
    assert table(made)["b/*"] == ["running", "failed"]
    made.fold("b")
    assert table(made)["b.3"] == ["succeeded", "running"]
    made.fold("b")
    assert keys(made) == ["a", "b/*"]


def test_what_somebody_has_folded_stays_so() -> None:
    made = grid(run(1, parts(2)))
    made.fold("b")
    made.put(converted(page(run(2, parts(5)))).columns[0])
    assert keys(made) == keys_after_refresh(made) == ["a", "b/*"]


def keys_after_refresh(made: Grid) -> list[str]:
    fresh = made.anew()
    fresh.take(converted(page(run(3, parts(3)))))
    return keys(fresh)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([], ""),
        (["succeeded", "reused"], "succeeded"),
        (["skipped", "failed", "cancelled"], "failed"),
        (["waiting", "running", "retrying"], "retrying"),
        (["succeeded", "never heard of"], "succeeded"),
    ],
)
def test_the_worst_state(states: list[str], state: str) -> None:
    assert worst(states) == state


def test_rows_can_be_narrowed() -> None:
    made = grid(run(2, parts(20)), run(1, parts(20, _4="failed")))
    made.faults_only = True
    made.arrange()
    assert [(row.key, row.members) for row in made.rows] == [("b/*", ("b.4",))]
    made.faults_only, made.words = False, "B. 19"
    made.arrange()
    assert [(row.key, row.members) for row in made.rows] == [("b/*", ("b.19",))]


# events


def test_a_run_that_changed_is_asked_for_again() -> None:
    made = grid(run(2, GOOD, "running"), run(1, GOOD))
    assert made.hear([heard(run(2, GOOD, "failed", revision=5))])
    assert (made.columns[1].run.state, list(made.dirty)) == ("failed", [identifier(2)])
    assert table(made)["b"] == ["succeeded", "succeeded"]  # what its stages are, an answer tells
    made.put(converted(page(run(2, BAD, "failed", revision=5))).columns[0])
    assert table(made)["b"] == ["succeeded", "failed"]


def test_an_answer_that_is_older_than_an_event_is_not_taken() -> None:
    made = grid(run(2, GOOD, "running"))
    made.hear([heard(run(2, GOOD, "failed", revision=5))])
    assert not made.put(converted(page(run(2, GOOD, "running", revision=4))).columns[0])
    assert made.columns[0].run.state == "failed"


def test_a_new_run_comes_at_the_right_and_an_old_one_not_at_all() -> None:
    made = grid(run(5, GOOD), cursor="more")
    made.hear([heard(run(6, {}, "queued")), heard(run(4, GOOD, "failed", revision=9))])
    assert [c.run.id for c in made.columns] == [identifier(5), identifier(6)]
    other = msgspec.structs.replace(run(7, {}), pipeline="other")
    assert not made.hear([heard(other)])
    assert table(made)["b"] == ["succeeded", ""]


def test_a_stage_changes_at_once() -> None:
    made = grid(run(2, GOOD))
    assert made.hear([EventView(9, "stage", f"{identifier(2)}/b", {"name": "b", "state": "failed"})])
    assert (table(made)["b"], list(made.dirty)) == (["failed"], [identifier(2)])
    assert not made.hear([EventView(9, "stage", f"{identifier(3)}/b", {"name": "b", "state": "failed"})])


def test_a_deleted_run_goes_and_a_relist_is_told() -> None:
    made = grid(run(2, GOOD), run(1, GOOD))
    assert made.hear([EventView(9, "run", identifier(1), None)])
    assert [c.run.id for c in made.columns] == [identifier(2)]
    assert made.hear([EventView(10, "relist", "", None)]) is None


# times


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], Heads("", ())),
        ([START], Heads("2026-11", (("23",), ("06",), ("00",)))),
        ([START, START + DAY], Heads("2026-11", (("23", "24"),))),
        ([START, START + DAY * 10], Heads("2026", (("11", "12"), ("23", "03")))),
        ([START, START + DAY / 24], Heads("2026-11-23", (("06", "07"), ("00", "00")))),
        ([START, START + DAY / 1440], Heads("2026-11-23", (("06", "06"), ("00", "01")))),
    ],
)
def test_only_what_differs_is_said_of_each_time(times: Sequence[datetime], expected: Heads) -> None:
    assert heads(times) == expected


def test_a_cell_in_words() -> None:
    made = grid(run(2, parts(13, _1="failed")), run(1, {"a": "failed"}))
    said = ["".join(text for text, _ in about(made, row, c, START)) for row in made.rows for c in made.columns]
    assert said == [
        "a  aaaaaa · 2026-11-24 06:00  ✖ failed  attempt 1  1m  exit 1",
        "a  aaaaaa · 2026-11-25 06:00  ✔ succeeded  attempt 1  1m",
        "b  aaaaaa · 2026-11-24 06:00  not in this run",
        "b  aaaaaa · 2026-11-25 06:00  ✖ 1 failed  ✔ 12 succeeded  ",
    ]


# the widget


class Views(App[None]):
    """One grid, and what it has said."""

    CSS = "GridView { height: 8; width: 30; }"

    def __init__(self, made: Grid) -> None:
        super().__init__()
        self.made = made
        self.said: list[str] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return defaults(dark=True)

    def compose(self) -> ComposeResult:
        yield GridView()

    def on_mount(self) -> None:
        self.view.focus()

    @property
    def view(self) -> GridView:
        return self.query_one(GridView)

    def draw(self) -> None:
        rows, columns = list(self.made.rows), list(self.made.columns)
        runs, common = run_heads(columns, START)
        self.view.show(runs, [stub(r) for r in rows], lambda i: [self.made.state(rows[i], c) for c in columns], common)

    def seen(self) -> list[str]:
        return [self.view.render_line(y).text.rstrip() for y in range(self.view.size.height)]

    def at(self) -> tuple[str, int]:
        return self.view.at[0], int(self.view.at[1].split("-")[0])

    def on_grid_view_opened(self) -> None:
        self.said.append("opened")

    def on_grid_view_folded(self) -> None:
        cell = self.made.cell(*self.view.at)
        assert cell is not None
        self.made.fold(cell[0].stage)
        self.draw()

    def on_grid_view_left_wanted(self) -> None:
        self.said.append("left")


async def test_it_begins_at_the_newest_run_at_what_failed() -> None:
    app = Views(grid(run(2, BAD, "failed"), run(1, GOOD)))
    async with app.run_test() as pilot:
        app.draw()
        await pilot.pause()
        assert app.seen()[:4] == ["            ██ ██", "  2026-11   24 25", "  a         ✔  ✔", "  b         ✔  ✖"]
        assert app.at() == ("b", 2)
        await pilot.press("h", "k", "enter")
        assert (app.at(), app.said) == (("a", 1), ["left", "opened"])


async def test_the_cursor_and_the_view_stay_when_runs_come_at_both_ends() -> None:
    app = Views(grid(*[run(n, GOOD) for n in range(50, 20, -1)], cursor="more"))
    async with app.run_test() as pilot:
        app.draw()
        await pilot.pause()
        assert app.seen()[3].split()[-1] == "12"  # the newest is in view
        assert app.said == []
        await pilot.press("home")
        assert app.said[-1] == "left"
        before = app.seen()
        app.made.take(converted(page(*[run(n, GOOD) for n in range(20, 10, -1)])))
        app.made.hear([heard(run(51, {}, "queued"))])
        app.draw()
        await pilot.pause()
        assert app.at() == ("a", 21)
        assert app.seen()[2:] == before[2:]
        await pilot.press("end")
        assert app.at() == ("a", 51)


async def test_a_group_is_folded_with_space_from_inside_it_too() -> None:
    app = Views(grid(run(1, parts(3))))
    async with app.run_test() as pilot:
        app.draw()
        await pilot.press("j", "enter")
        assert (keys(app.made), app.at()[0]) == (["a", "b/*"], "b/*")
        assert any(line.startswith("▸ b (3)") for line in app.seen())
        await pilot.press("space", "j", "j", "space")
        assert (keys(app.made), app.view.line) == (["a", "b/*"], 1)
        await pilot.press("k", "space")
        assert keys(app.made) == ["a", "b/*"]  # a stage without instances has nothing to fold


async def test_a_click_goes_to_a_cell_and_another_into_it() -> None:
    app = Views(grid(run(2, GOOD), run(1, GOOD)))
    async with app.run_test() as pilot:
        app.draw()
        await pilot.pause()
        column = app.seen()[3].index("✔")
        await pilot.click(GridView, offset=(column, 0))  # above the stages
        await pilot.click(GridView, offset=(column, 3))
        assert (app.at(), "opened" in app.said) == (("b", 1), False)
        await pilot.click(GridView, offset=(column, 3))
        assert app.said[-1] == "opened"


async def test_nothing_is_drawn_of_no_runs() -> None:
    app = Views(Grid("learn"))
    async with app.run_test() as pilot:
        app.view.empty = "nothing yet"
        app.draw()
        await pilot.press("j", "l", "enter", "space", "G", "end")
        assert app.seen()[1].strip() == "nothing yet"


async def test_only_the_lines_in_view_are_drawn() -> None:
    app = Views(Grid("learn"))
    async with app.run_test() as pilot:
        runs = [RunHead(str(i), "succeeded", 1.0, ("01",)) for i in range(100)]
        stubs = [Stub(f"s{i}", f"s{i}\x1b[31m") for i in range(900)]
        app.view.show(runs, stubs, lambda line: ["succeeded"] * 100, "")
        await pilot.press("G")
        assert app.seen()[-1].startswith("  s899␛[31m ✔  ✔")
        assert len(app.view._strips) <= 2 * app.view.size.height
