"""Numbers as small pictures."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khantui.render.spark import chart, spark


@pytest.mark.parametrize(
    ("values", "picture"),
    [
        ([], ""),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([2, 2, 1, 2, 7], "▂▂▁▂█"),
        ([5, 5, 5], "▄▄▄"),
        ([58, 59, 60], "▄▄▅"),
        ([0, 0], "▁▁"),
        ([10, None, 200, float("nan")], "▁ █ "),
        ([None], " "),
    ],
)
def test_sparks(values: Sequence[float | None], picture: str) -> None:
    assert spark(values) == picture


def test_a_chart_stands_on_zero_and_leaves_out_what_is_not_known() -> None:
    assert chart([1, 0.9, 0.5, 0, None, 1, 0.2, 0.1], 3, 32, top=1.0) == [
        "███ ▆▆▆             ███         ",
        "███ ███ ▄▄▄         ███         ",
        "███ ███ ███ ▁▁▁     ███ ▅▅▅ ▂▂▂ ",
    ]


def test_more_values_than_columns_are_averaged() -> None:
    assert chart([1, 1, 3, 5, None, 8], 1, 3) == ["▁▄█"]


def test_no_room_is_no_chart() -> None:
    assert chart([1], 0, 5) == []
    assert chart([1], 2, 0) == ["", ""]
    assert chart([], 2, 3) == ["   ", "   "]


numbers = st.lists(st.none() | st.floats())


@given(numbers)
def test_one_character_for_each_value(values: list[float | None]) -> None:
    assert len(spark(values)) == len(values)


@given(numbers, st.integers(0, 8), st.integers(0, 40))
def test_a_chart_has_the_size_that_was_asked_for(values: list[float | None], height: int, columns: int) -> None:
    assert [len(line) for line in chart(values, height, columns)] == [columns] * height
