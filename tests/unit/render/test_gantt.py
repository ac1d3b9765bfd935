"""Bars of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from khantui.render.gantt import Bar, Span, axis, bar_columns, extent, gantt
from khantui.render.text import width

START = datetime(2026, 11, 23, 6, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def bar(name: str, state: str, ready: float | None, *spans: tuple[float, float | None, str], end: float | None) -> Bar:
    attempts = tuple(Span(at(s), None if e is None else at(e), state) for s, e, state in spans)
    return Bar(name, name, state, None if ready is None else at(ready), attempts, None if end is None else at(end))


RUN = [
    bar("clean", "succeeded", 0, (0, 41, "succeeded"), end=41),
    bar("totals", "succeeded", 41, (50, 80, "succeeded"), end=80),
    bar("by_region", "failed", 41, (50, 90, "failed"), (120, 190, "failed"), end=190),
    bar("again", "retrying", 41, (50, 90, "failed"), end=None),
    bar("soon", "queued", 185, end=None),
    bar("quick", "succeeded", 200, (200, 200, "succeeded"), end=200),
    bar("plot", "skipped", None, end=None),
]


def text(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def test_what_waited_ran_and_was_tried_again() -> None:
    assert "\n" + text(gantt(RUN, at(200), 60, 12)) + "\n" == (
        """
✔ clean      ████████ 41s
✔ totals             ▒▒██████ 39s
✖ by_region          ▒▒████████▒▒▒▒▒↻██████████████ 2m 29s
↻ again              ▒▒████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ 2m 39s
◌ soon                                            ▒▒▒ 15s
✔ quick                                             █ 0.0s
⊘ plot       –
"""
    )


def test_pieces_have_the_states_of_the_attempts() -> None:
    attempts = bar("a", "running", 0, (10, 20, "failed"), (30, None, "running"), end=None)
    assert gantt([attempts], at(40), 51, 6) == [
        [("● ", "running"), ("a    ", ""), ("▒▒▒▒▒▒▒▒▒▒", "waiting"), ("█" * 10, "failed"), ("▒" * 9, "waiting"),
         ("↻", "retrying"), ("█" * 10, "running"), (" 40s", "")]
    ]  # fmt: skip


def test_each_attempt_has_a_cell_however_short() -> None:
    tries = [(100.0, 100.0, "failed")] * 4
    long = bar("long", "succeeded", 0, (0, 100, "succeeded"), end=100)
    assert text(gantt([long, bar("many", "failed", 100, *tries, end=100)], at(100), 34, 6)) == (
        "✔ long " + "█" * 20 + " 1m 40s\n✖ many" + " " * 14 + "█↻█↻█↻█ 0.0s"
    )


def test_a_clock_that_went_back_makes_nothing_negative() -> None:
    odd = bar("odd", "failed", 50, (40, 10, "failed"), (5, 1, "failed"), end=0)
    assert text(gantt([odd], at(-100), 30, 6)) == "✖ odd  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒█↻█ 45s"


def test_one_moment_is_one_cell() -> None:
    assert text(gantt([bar("a", "succeeded", 0, (0, 0, "succeeded"), end=0)], at(0), 30, 6)) == "✔ a    █ 0.0s"


def test_the_axis_has_round_times() -> None:
    assert axis(at(0), at(200), 60) == "0s       30s      1m       1m30s    2m       2m30s    3m"
    assert axis(at(0), at(180), 18) == "0s    1m    2m"
    assert axis(at(0), at(86400 * 3), 60) == "0s        12h       1d        1d12h     2d        2d12h"
    assert axis(at(0), at(0.4), 20) == "0s        0.2s"
    assert axis(at(0), at(0), 20) == axis(at(9), at(0), 20) == "0s"
    assert axis(at(0), at(10), 1) == axis(at(0), at(10), 0) == ""


def test_the_axis_is_as_long_as_the_bars() -> None:
    assert extent(RUN, at(200)) == (at(0), at(200))
    assert bar_columns(RUN, at(200), 60, 12) == 60 - 12 - len(" ") - len(" 2m 39s")
    assert extent([], at(3)) == (at(3), at(3))


moments = st.integers(-100, 10**6).map(at)
spans = st.builds(Span, moments, st.none() | moments, st.sampled_from(["running", "failed", "odd"]))
bars = st.builds(
    Bar,
    st.text(max_size=5),
    st.text(max_size=30),
    st.sampled_from(["running", "waiting", ""]),
    st.none() | moments,
    st.lists(spans, max_size=6).map(tuple),
    st.none() | moments,
)


@given(st.lists(bars, max_size=8), moments, st.integers(0, 120), st.integers(0, 40))
def test_any_bars_fit_into_any_columns(given_bars: list[Bar], now: datetime, columns: int, label: int) -> None:
    lines = gantt(given_bars, now, columns, label)
    assert len(lines) == len(given_bars)
    assert all(sum(width(piece) for piece, _ in line) <= columns for line in lines)


@given(st.lists(spans, min_size=1, max_size=6), moments)
def test_every_attempt_and_every_retry_is_seen(attempts: list[Span], now: datetime) -> None:
    line = gantt([Bar("a", "a", "failed", None, tuple(attempts), None)], now, 80, 10)[0]
    drawn = "".join(piece for piece, _ in line)
    assert drawn.count("↻") == len(attempts) - 1
    assert all("█" in part for part in drawn.split("↻"))


@given(moments, moments, st.integers(-1, 300))
def test_any_axis_fits(start: datetime, end: datetime, columns: int) -> None:
    assert len(axis(start, end, columns)) <= max(0, columns)
