"""Text that somebody else wrote takes its own place, and no other."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from khantui.render.logline import styled
from khantui.render.text import colours_only, plain, visible, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("👩\u200d👩\u200d👧 x", "👩👩👧 x"),
        ("🏳\ufe0f\u200d🌈", "🏳🌈"),
        ("🇩🇪", "DE"),
        ("👍🏽", "👍"),
        ("e\u0301", "é"),
        ("a" + "\u0300" * 500 + "b", "à\u0300\u0300b"),
        ("\u0300\u0301lead", "lead"),
        ("a\u202eb\u2066c\u200bd", "a\\u202eb\\u2066c\\u200bd"),
        ("漢字 שלום", "漢字 שלום"),
        ("\x1b[2J\x1b]0;t\x07\x1bPq\x1b\\\x1b_G\x1b\\x", "x"),
        ("\x1b]0;never ended", "0;never ended"),
    ],
)
def test_each_sign_stands_for_itself(text: str, shown: str) -> None:
    assert plain(text) == shown


# these became wide in a later Unicode than that of the oldest Python here
LATER = re.compile("[\u2630-\u2637\u268a-\u268f\u4dc0-\u4dff\U0001d300-\U0001d376]")


@settings(max_examples=300, derandomize=True)
@given(st.text(max_size=60).map(lambda text: LATER.sub("", text)))
def test_any_text_is_as_wide_as_it_is_measured(text: str) -> None:
    for shown in (visible(text), plain(text).expandtabs(8), styled(text).plain):
        assert "\n" not in shown
        assert "\x1b" not in shown
        assert width(shown) == cell_len(shown)
    coloured = colours_only("\x1b[31m" + text).replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert set(coloured).isdisjoint("\x07\x9b")
