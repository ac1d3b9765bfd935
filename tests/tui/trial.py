"""Keys that a test says it tries, held against what it then did: a key is tried where it brings about something new.

A test names its keys by the class whose `BINDINGS` they stand in: `@tries({Runs: "A S", ResourceTable: "j k"})`.
Each must be pressed in it by `tried`, which fails unless what it waits for was not so before and is so after; and
the binding that ran must be that of the class (conftest.py). `tests/unit/tui/test_bindings.py` sees to it that all
bindings are named by some test.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import _character_to_key
from textual.pilot import Pilot

import khantui
from khantui.screens.host import Host
from tests.tui.conftest import shown, until

Key = tuple[type, str]  # the class whose binding it is, and the key as Textual names it
tries = pytest.mark.tries


def own(cls: type) -> list[Binding]:
    """The bindings that stand in the class itself."""
    return list(Binding.make_bindings(cls.__dict__.get("BINDINGS", ())))


def all_bindings() -> dict[type, list[Binding]]:
    """Those of every class of the interface; a binding to `nothing` only takes a key away."""
    for module in pkgutil.walk_packages(khantui.__path__, "khantui."):
        if not module.name.endswith("__main__") and not {"examples", "templates"} & set(module.name.split(".")):
            importlib.import_module(module.name)
    found = (cls for cls in _subclasses(DOMNode) if cls.__module__.startswith("khantui."))
    return {cls: bound for cls in found if (bound := [b for b in own(cls) if b.action != "nothing"])}


def _subclasses(cls: type) -> Iterator[type]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def declared(marks: Iterable[pytest.Mark]) -> set[Key]:
    """What these marks say is tried."""
    named: Iterable[Mapping[type, str]] = (mark.args[0] for mark in marks if mark.name == "tries")
    return {(cls, named_key(key)) for keys in named for cls, words in keys.items() for key in words.split()}


def named_key(key: str) -> str:
    """A key as Textual names it: `=` is `equals_sign`."""
    return _character_to_key(key) if len(key) == 1 else key


class Trials:
    """What `tried` has found to work since the test began."""

    def __init__(self) -> None:
        self.worked: set[Key] = set()
        self.ran: set[Key] = set()  # by the key that is pressed at the moment
        self.pressed = ""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have what runs by a key be seen."""
        self.__init__()  # type: ignore[misc]
        run = Host.run_action

        async def seen(
            app: Host, action: Any, default_namespace: DOMNode | None = None, namespaces: Any = None
        ) -> bool:
            done = await run(app, action, default_namespace, namespaces)
            if done and self.pressed and default_namespace is not None:
                for cls in type(default_namespace).__mro__:
                    if any((b.key, b.action) == (self.pressed, action) for b in own(cls)):
                        self.ran.add((cls, self.pressed))
                        break
            return done

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Host, "run_action", seen)
            yield


trials = Trials()


async def tried(pilot: Pilot[Any], key: str, brings: Callable[[], object]) -> None:
    """Press a key that brings about what is not so before."""
    key = named_key(key)
    assert not _so(brings), f"{key}: it is so before the key is pressed"
    trials.pressed, trials.ran = key, set()
    try:
        await pilot.press(key)
        await until(pilot, lambda: _so(brings))
    finally:
        trials.pressed = ""
    trials.worked |= trials.ran


def _so(brings: Callable[[], object]) -> bool:
    with suppress(Exception):  # what is asked about is not there yet
        return bool(brings())
    return False


async def opens(pilot: Pilot[Any], key: str, kind: type, says: str = "") -> None:
    """A key that leads to a screen, and back from it by escape."""
    app, before = pilot.app, pilot.app.screen
    await tried(pilot, key, lambda: app.screen is not before and isinstance(app.screen, kind) and says in shown(app))
    await pilot.press("escape")
    await until(pilot, lambda: app.screen is before)


async def walk(pilot: Pilot[Any], at: Callable[[], object], steps: Sequence[tuple[str, object]]) -> None:
    """Keys that move something: each with where it is then."""
    for key, there in steps:
        await tried(pilot, key, lambda there=there: at() == there)  # type: ignore[misc]
