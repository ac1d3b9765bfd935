"""Where the daemon is."""

from __future__ import annotations

from pathlib import Path

import pytest

from khantui.api.address import parse, resolve
from khantui.errors import Misuse


@pytest.mark.parametrize(
    ("address", "data", "environment", "expected"),
    [
        ("unix:///a.sock", "/d", {"KHANTUI_ADDRESS": "http://127.0.0.1:1"}, "unix:///a.sock"),
        (None, "/d", {"KHANTUI_ADDRESS": "http://127.0.0.1:1"}, "unix:///d/api.sock"),
        (None, None, {"KHANTUI_ADDRESS": "http://127.0.0.1:1/", "KHANTUI_DATA": "/e"}, "http://127.0.0.1:1"),
        (None, None, {"KHANTUI_DATA": "/e"}, "unix:///e/api.sock"),
    ],
)
def test_what_is_given_wins_over_the_environment(
    address: str | None, data: str | None, environment: dict[str, str], expected: str
) -> None:
    assert str(resolve(address, data, environment)) == expected


def test_the_platforms_folder_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    assert resolve(None, None, {}).socket == Path("/x/khantui/api.sock")


@pytest.mark.parametrize("text", ["", "localhost", "unix://api.sock", "ftp://x", "/api.sock"])
def test_what_is_no_address_says_how_one_looks(text: str) -> None:
    with pytest.raises(Misuse) as caught:
        parse(text)
    assert "unix:///" in caught.value.hint


def test_a_socket_path_that_the_system_would_not_take_is_refused() -> None:
    with pytest.raises(Misuse, match="107"):
        resolve(None, "/" + "x" * 120, {})
