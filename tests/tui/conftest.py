"""One furnished desk for the tests of a module, and the interface before it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.desk import Desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    found = Desk(tmp_path_factory.mktemp("desk"))
    found.start()
    found.do(found.furnish())
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KHANTUI_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test that says which keys it tries has tried them: they ran, and brought about what was not so before."""
    from tests.tui.trial import declared, trials

    with trials.watching():
        yield
        untried = declared(item.iter_markers()) - trials.worked
    if untried:
        pytest.fail("not tried: " + ", ".join(sorted(f"{cls.__name__} {key}" for cls, key in untried)))


async def until(pilot: Pilot[Any], holds: Callable[[], bool], seconds: float = 30) -> None:
    """Let the interface go on until something holds. Fails with what the screen shows instead."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await pilot.pause()
        with contextlib.suppress(Exception):  # what is asked about is not there yet
            if holds():
                return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{type(pilot.app.screen).__name__}:\n{shown(pilot.app)}\n{told(pilot.app)}")


def shown(app: Any) -> str:
    """The screen as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def told(app: Any) -> str:
    """What the interface has told in passing."""
    return "\n".join(notification.message for notification in app._notifications)


_NAMED = {
    **{" ": "space", "-": "minus", "=": "equals_sign", "~": "tilde", ":": "colon", "/": "slash", "*": "asterisk"},
    **{".": "full_stop", ",": "comma", "_": "underscore", ";": "semicolon", "@": "at", "?": "question_mark"},
}


async def write(pilot: Pilot[Any], text: str) -> None:
    """Type a text, key by key."""
    await pilot.press(*(_NAMED.get(character, character) for character in text))


async def to_field(pilot: Pilot[Any], name: str) -> None:
    """Tab on to the field of that id."""
    for _ in range(40):
        if pilot.app.focused is not None and pilot.app.focused.id == name:
            return
        await pilot.press("tab")
        await pilot.pause()
    raise AssertionError(f"there is no field {name!r}:\n{shown(pilot.app)}")


async def fill(pilot: Pilot[Any], **fields: str) -> None:
    """Write into the fields of these ids, in the place of what stands there, by keys alone."""
    for name, text in fields.items():
        await to_field(pilot, name)
        await pilot.press("end", "ctrl+u")
        await write(pilot, text)
