"""The pulse: what is late, how often something failed, the buckets of the charts; and the list in sections."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from textual.app import App, ComposeResult

from backend.api.wire import DaemonView, EventView, Page, PipelineView, RunView, ScheduleView
from backend.run.state import RunState, Trigger
from khantui.render.table import Column
from khantui.screens.pulse_parts import axis, charts, list_sections, store, summary
from khantui.state import pulse
from khantui.state.overview import Overview
from khantui.state.pulse import Bucket, History, Streak
from khantui.theme import defaults
from khantui.widgets.sections import Section, Sections

NOW = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def run(
    number: int,
    state: str,
    *,
    pipeline: str = "learn",
    began: timedelta = timedelta(),
    took: int | None = 60,
    **more: str,
) -> RunView:
    """The run of that number: ids are in the order in which runs were created."""
    start = NOW - began
    ended = start + timedelta(seconds=took) if took is not None and state not in ("running", "queued") else None
    started = None if state == "queued" else start
    return RunView(
        f"{number:010d}-aaaaaa", pipeline, 1, RunState(state), start, "UTC", start, started, ended, {}, Trigger(),
        more.get("message", ""), "", 1, {"total": 2, "succeeded": 1}, number,
    )  # fmt: skip


def schedule(name: str, *firings: timedelta, pipeline: str = "learn", **more: object) -> ScheduleView:
    """A schedule with its next firings, from now."""
    view = ScheduleView(
        name, pipeline, "cron", ("0 6 * * *",), "UTC", None, (), {}, "latest", False, "", "", None, "", NOW - MINUTE,
        "", "", tuple(NOW + f for f in firings), False, "", 1, "every day at 06:00",
    )  # fmt: skip
    return msgspec.structs.replace(view, **more)


def overview(
    *pipelines: Sequence[RunView], schedules: Sequence[ScheduleView] = (), under_way: Sequence[RunView] = ()
) -> Overview:
    """All that is known; the runs of each pipeline, newest first."""
    views = [PipelineView(r[0].pipeline, 1, "", "", {}, 2, 1, (), None, "", tuple(r), 1) for r in pipelines]
    known = Overview()
    known.load(views, schedules, under_way)
    return known


def page(runs: Sequence[RunView], cursor: str | None = None) -> Page:
    return Page([msgspec.to_builtins(r) for r in runs], cursor, None, 1)


def history(*runs: RunView) -> History:
    known = History()
    known.take(page(runs))
    return known


def heard(shown: RunView) -> EventView:
    return EventView(shown.revision, "run", shown.id, msgspec.to_builtins(shown))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], Streak(0, False)),
        (["succeeded", "failed"], Streak(0, False)),
        (["failed", "succeeded", "failed"], Streak(1, False)),
        (["running", "failed", "cancelled", "failed", "succeeded"], Streak(2, False)),
        (["failed"] * 3, Streak(3, False)),  # it has not run more often
        (["failed"] * 8, Streak(8, True)),  # what was before is not known
    ],
)
def test_a_streak_is_counted_from_the_newest_run(states: list[str], expected: Streak) -> None:
    assert pulse.streak([run(100 - i, state) for i, state in enumerate(states)]) == expected


def test_a_streak_goes_on_into_the_history() -> None:
    failed = [run(i, "failed") for i in range(20, 5, -1)]
    (item,) = pulse.failing(overview(failed[:8]), history(*failed[8:], run(5, "succeeded")))
    assert item.streak == Streak(15, False)


def test_the_newest_failure_comes_first() -> None:
    known = overview(
        [run(9, "running", pipeline="a"), run(1, "failed", pipeline="a", message="old")],
        [run(2, "failed", pipeline="b", began=-MINUTE)],
        [run(4, "succeeded", pipeline="c"), run(3, "failed", pipeline="c")],
    )
    assert [i.pipeline for i in pulse.failing(known, History())] == ["b", "a"]


def test_the_longest_run_comes_first_and_slow_ones_are_marked() -> None:
    good = [run(i, "succeeded", took=60) for i in range(3)]
    slow, usual = run(11, "running", began=3 * MINUTE), run(12, "running", began=MINUTE)
    other = run(10, "running", pipeline="new", began=2 * MINUTE)
    found = pulse.running(overview(good, under_way=[usual, other, slow, run(13, "queued")]), NOW)
    assert [(i.pipeline, i.usual, i.slow) for i in found] == [
        ("learn", 60.0, True),
        ("new", None, False),
        ("learn", 60.0, False),
    ]


def test_what_is_late() -> None:
    failed = run(7, "failed")
    known = overview(
        [failed],
        under_way=[run(9, "queued", message="waits for a slot"), run(8, "queued", began=MINUTE)],
        schedules=[
            schedule("soon", MINUTE),
            schedule("missed", -MINUTE),
            schedule("just now", timedelta(seconds=-3), MINUTE),
            schedule("paused", -MINUTE, paused=True),
            schedule("over", done=True, last_state="failed"),
            schedule("failed", MINUTE, last_run=failed.id, last_state="running"),
        ],
    )
    assert [(i.schedule.name if i.schedule else i.run_id[:10], i.why) for i in pulse.late(known, NOW)] == [
        ("0000000008", "starts in a moment"),
        ("0000000009", "waits for a slot"),
        ("failed", "its last run failed"),
        ("missed", "did not fire"),
    ]


def test_a_schedule_whose_run_was_retried_well_is_not_late() -> None:
    known = overview(
        [run(7, "succeeded")], schedules=[schedule("s", last_run=run(7, "failed").id, last_state="failed")]
    )
    assert pulse.late(known, NOW) == []


def test_the_next_hour() -> None:
    known = overview(
        schedules=[
            schedule("often", 10 * MINUTE, 30 * MINUTE, 70 * MINUTE),
            schedule("first", MINUTE),
            schedule("tomorrow", 60 * 24 * MINUTE),
            schedule("paused", MINUTE, paused=True),
            schedule("past", -MINUTE),
        ]
    )
    assert [(i.schedule.name, len(i.then)) for i in pulse.next_hour(known, NOW) if i.schedule] == [
        ("first", 0),
        ("often", 1),
    ]


# the charts


def test_hours_are_those_of_the_clock() -> None:
    found = pulse.hours(
        history(
            run(1, "succeeded", began=29 * MINUTE),
            run(2, "failed", began=31 * MINUTE),
            run(3, "running", began=31 * MINUTE),
            run(4, "succeeded", began=timedelta(days=1)),
        ),
        NOW,
    )
    assert len(found) == 24
    assert found[-1] == Bucket(NOW - 30 * MINUTE, 1, 1, 0, took=60.0)
    assert found[-2] == Bucket(NOW - 90 * MINUTE, 2, 0, 1, took=60.0)
    assert [b.rate for b in found[-3:]] == [None, 0.0, 1.0]
    assert sum(b.total for b in found) == 3


def test_days_are_those_of_the_zone() -> None:
    at_night = history(run(1, "succeeded", began=timedelta(hours=7)))  # 23:30 UTC
    assert [b.total for b in pulse.days(at_night, NOW, UTC)] == [0, 0, 0, 0, 0, 1, 0]
    assert [b.total for b in pulse.days(at_night, NOW, ZoneInfo("Europe/Berlin"))] == [0, 0, 0, 0, 0, 0, 1]


def test_the_history_ends_after_2000_runs_and_says_since_when() -> None:
    known = History()
    for number in range(9):
        runs = [run(9000 - number * 200 - i, "succeeded", began=MINUTE * (number * 200 + i)) for i in range(200)]
        assert known.take(page(runs, "more")) == "more"
    assert known.take(page([run(10 + i, "succeeded", began=MINUTE * (2000 + i)) for i in range(200)], "more")) is None
    assert (known.loaded, known.since) == (True, NOW - MINUTE * 2199)
    unknown = [b for b in pulse.days(known, NOW, UTC) if not b.known]
    assert [b.rate for b in unknown] == [None] * 5  # the oldest run that is known is of the fifth day


def test_the_history_keeps_up() -> None:
    known = history(run(1, "running"))
    before = msgspec.structs.replace(run(1, "failed"), revision=0)
    assert known.hear([heard(before), heard(run(2, "queued")), EventView(9, "stage", "x/y", None)])
    assert {r.id[:10]: str(r.state) for r in known.runs.values()} == {"0000000001": "running", "0000000002": "queued"}
    assert known.hear([EventView(10, "run", run(2, "queued").id, None)])
    assert len(known.runs) == 1
    assert not known.hear([EventView(11, "relist", "", None)])
    known.forget(NOW + timedelta(days=9))
    assert not known.runs


def test_a_chart_has_gaps_where_nothing_is_known() -> None:
    buckets = [
        Bucket(NOW, 4, 4, 0, known=False),
        Bucket(NOW, 2, 1, 1, took=30.0),
        Bucket(NOW, 4, 4, 0, took=60.0),
    ]
    lines = charts(buckets, 12, 1, lambda b: "h")
    assert ["".join(text for text, _ in line) for line in lines] == [
        " good     ▄▄▄ ███ ",
        " took     ▄▄▄ ███ ",
        " runs     ▄▄▄ ███ ",
        "      h   h   h",
    ]
    assert [role for _, role in lines[0][1:]] == ["failed", "failed", "succeeded"]


def test_labels_of_an_axis_do_not_touch() -> None:
    assert axis([Bucket(NOW)] * 4, 2, lambda b: "06h") == "06h 06h"


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [(0, 0, "no runs"), (3, 0, "100% of 3 succeeded"), (99_999, 1, "99.9% of 100,000 succeeded · 1 failed")],
)
def test_all_is_said_only_of_all(good: int, bad: int, said: str) -> None:
    assert "".join(text for text, _ in summary([Bucket(NOW, good + bad, good, bad)])) == said


# the list


class Lists(App[None]):
    """Two sections with rows, and one to read."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = [["a", "b"], ["c"]]
        self.opened: list[str] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return defaults(dark=True)

    def compose(self) -> ComposeResult:
        yield Sections[str](self.make, lambda row: row)

    def make(self, columns: int) -> list[Section[str]]:
        shown = [Column[str]("NAME", lambda row: row), Column[str]("EMPTY", lambda row: "")]
        lists = [Section(f"part {i}", [(str(len(r)), "")], shown, r) for i, r in enumerate(self.rows)]
        return [*lists, Section("read", lines=[[("a fact", "")]])]

    def on_sections_opened(self) -> None:
        self.opened.append(str(self.query_one(Sections).chosen))


async def test_the_cursor_goes_past_headings_and_stays_with_its_row() -> None:
    app = Lists()
    async with app.run_test(size=(40, 12)) as pilot:
        view = app.query_one(Sections)
        view.focus()
        assert [view.render_line(y).text.rstrip() for y in range(9)] == [
            " part 0  2", "  a", "  b", "", " part 1  1", "  c", "", " read", "  a fact",
        ]  # fmt: skip
        await pilot.press("j", "down", "enter", "tab", "enter", "K", "enter", "k", "enter", "G")
        assert (app.opened, view.chosen) == (["c", "a", "c", "b"], "c")
        app.rows = [["x", "c"], ["a"]]
        view.changed()
        assert view.chosen == "c"
        app.rows = [["x"], []]
        view.changed()
        assert view.chosen == "x"
        app.rows = [[], []]
        view.changed()
        await pilot.press("enter", "j", "tab", "k")
        assert view.chosen is None


async def test_a_click_goes_to_a_row_and_another_into_it() -> None:
    app = Lists()
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.click(Sections, offset=(3, 4))  # a heading
        await pilot.click(Sections, offset=(3, 5))
        assert (app.query_one(Sections).chosen, app.opened) == ("c", [])
        await pilot.click(Sections, offset=(3, 5))
        assert app.opened == ["c"]


async def test_what_somebody_wrote_cannot_paint_the_screen() -> None:
    app = Lists()
    app.rows = [["\x1b[31mred\n[b]"], []]
    async with app.run_test(size=(40, 12)):
        assert app.query_one(Sections).render_line(1).text.rstrip() == "  ␛[31mred␊[b]"


def test_only_lists_with_something_in_them_have_rows() -> None:
    known = overview([run(1, "failed", message="exit 1")])
    shown = list_sections(known, History(), NOW)
    assert [(section.title, len(section.rows)) for section in shown] == [
        ("Failing now", 1),
        ("Running", 0),
        ("Late or waiting", 0),
        ("Next hour", 0),
    ]
    assert len(list_sections(known, History(), NOW, "LEA rn")[0].rows) == 1
    assert not list_sections(known, History(), NOW, "other")[0].rows


def test_a_store_that_is_full_is_told() -> None:
    def of(**known: object) -> tuple[str, str]:
        return store(DaemonView("1", "sandbox", True, True, "/d", 1, 4, dict(known)))

    assert of(version="3.6", size=2048, quota=4096, full=False) == ("3.6 · 2.0 KiB of 4.0 KiB (50%)", "")
    assert of(version="3.6", size=4000, quota=4096, full=False)[1] == "warning"
    assert of(version="3.6", size=4000, quota=4096, full=True)[1] == "failed"
    assert of() == ("? · 0 B", "")
