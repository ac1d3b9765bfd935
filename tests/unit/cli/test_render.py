"""Values to text: what people read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khantui.render.moments import ago, duration, parse_span, size, stamp
from khantui.render.plan import plan_lines
from khantui.render.status import progress
from khantui.render.table import Cell, Column, table
from khantui.render.text import colours_only, crop, pad, plain, visible, width

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (0.44, "0.4s"), (9.94, "9.9s"), (9.96, "10s"), (59.6, "1m"), (190, "3m 10s"), (3600, "1h"),
     (3660, "1h 01m"), (90000, "1d 01h"), (-5, "-5.0s")],
)  # fmt: skip
def test_durations_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("offset", "text"),
    [(0.2, "now"), (59, "59s ago"), (720, "12m ago"), (-10800, "in 3h"), (200000, "2d ago")],
)
def test_relative_times_have_one_unit(offset: float, text: str) -> None:
    assert ago(NOW - timedelta(seconds=offset), NOW) == text


def test_what_never_happened_is_a_dash() -> None:
    assert ago(None, NOW) == stamp(None) == "–"


def test_a_logical_time_at_midnight_is_a_date() -> None:
    assert stamp(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01"
    assert stamp(datetime(2026, 3, 1, 6, 30, tzinfo=UTC)) == "2026-03-01 06:30"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400), ("2d", 172800)])
def test_spans_of_time(text: str, seconds: float) -> None:
    assert parse_span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "5", "5 minutes", "five m"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_span(text)


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")])
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@given(st.text())
def test_nothing_that_was_made_visible_can_move_the_cursor(text: str) -> None:
    shown = visible(text)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u202e" for c in shown)


@given(st.text())
def test_only_colours_are_left_of_control_sequences(text: str) -> None:
    shown = colours_only(text)
    for index, character in enumerate(shown):
        if character == "\x1b":
            assert shown[index + 1] == "["
            assert shown[index:].split("m", 1)[0].lstrip("\x1b[").strip("0123456789;:") == ""
        else:
            assert character == "\t" or ord(character) >= 0x20


def test_a_log_line_cannot_clear_the_screen_or_set_the_title() -> None:
    assert colours_only("\x1b[2J\x1b]0;owned\x07a\x1b[31mred\x1b[0m") == "a\x1b[31mred\x1b[0m\x1b[0m"
    assert plain("\x1b[31mred\x1b[0m\ttab\n") == "red\ttab"


def test_of_a_progress_bar_its_last_state_is_shown() -> None:
    assert plain("10%\r50%\r100%\r\n") == "100%"


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("日本", 4), ("é", 1), ("\x1b[31mx\x1b[0m", 1), ("🚀", 2)])
def test_width_counts_columns(text: str, columns: int) -> None:
    assert width(text) == columns


@given(st.text(), st.integers(0, 30))
def test_cropped_text_fits(text: str, columns: int) -> None:
    assert width(crop(visible(text), columns)) <= columns


def test_padding_knows_wide_characters() -> None:
    assert pad("日", 4) == "日  "
    assert pad("7", 3, right=True) == "  7"


ROWS = [{"name": "weekly-learners", "why": "x" * 100, "by": "alice"}, {"name": "日本\x1b[2J", "why": "", "by": "bob"}]
COLUMNS: list[Column[dict[str, str]]] = [
    Column("NAME", lambda r: r["name"], flexible=True),
    Column("WHY", lambda r: r["why"], flexible=True),
    Column("BY", lambda r: Cell(r["by"], "failed"), rank=2),
]


def test_a_table_is_as_wide_as_it_gets_where_there_is_no_terminal() -> None:
    lines = table(ROWS, COLUMNS)
    assert "x" * 100 in lines[1]
    assert lines[2].startswith("日本␛[2J")


@pytest.mark.parametrize("space", [80, 40, 20])
def test_a_table_fits_its_terminal_and_keeps_what_matters(space: int) -> None:
    lines = table(ROWS, COLUMNS, space=space)
    assert all(width(line) <= space for line in lines)
    assert lines[0].startswith("NAME")


def test_less_important_columns_go_first() -> None:
    assert "BY" in table(ROWS, COLUMNS, space=80)[0]
    assert "BY" not in table(ROWS, COLUMNS, space=30)[0]


def test_colours_are_only_there_if_wanted() -> None:
    assert "\x1b" not in "".join(table(ROWS, COLUMNS))
    assert "\x1b[31malice\x1b[0m" in table(ROWS, COLUMNS, colour=True)[1]


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"total": 5, "succeeded": 2, "failed": 1}, "██✖░░ 3/5"),
        ({"total": 3, "running": 1}, "▒░░ 0/3"),
        ({"total": 1000, "succeeded": 998, "failed": 1, "running": 1}, "██████✖▒ 999/1000"),
        ({"total": 0}, "–"),
    ],
)
def test_progress_shows_whatever_there_is_one_of(counts: dict[str, int], text: str) -> None:
    assert progress(counts) == text


def test_a_plan_is_drawn_with_its_critical_path() -> None:
    plan = {"levels": [["a", "b"], ["c"]], "width": 2, "critical_path": ["a", "c"]}
    assert list(plan_lines(plan)) == [
        "  3 stages in 2 levels, up to 2 at once",
        "  ├─ 1: a*  b",
        "  └─ 2: c*",
        "  * critical path: a → c",
    ]
