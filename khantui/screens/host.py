"""What screens know of the application that shows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from textual.app import App
from textual.content import Content

from khantui.api.client import Client
from khantui.errors import Failure
from khantui.render.text import visible
from khantui.state.link import Link
from khantui.state.overview import Overview

T = TypeVar("T")


class Host(App[int]):
    """The application: one connection, what is known over it, and the way to other screens."""

    link: Link
    overview: Overview
    read_only = False
    context = ""  # the name of the daemon, if it has one
    commands: tuple[str, ...] = ()

    @property
    def moment(self) -> datetime:
        """Now; tests set it."""
        return datetime.now(UTC)

    def go(self, command: str, *, remember: bool = True) -> None:
        """Where a command leads: `runs state=failed`, `run 7f3k2a`, `pipelines`."""
        raise NotImplementedError

    def step(self, by: int) -> None:
        """Back and forth in the history of what was looked at."""
        raise NotImplementedError

    async def ask(self, call: Callable[[Client], T]) -> T | None:
        """The answer of the daemon, or None after its refusal was shown."""
        try:
            return await self.link.ask(call)
        except Failure as failure:
            self.say(failure)
            return None

    def say(self, failure: Failure) -> None:
        """Show what went wrong and what to do."""
        self.notify(
            visible_lines(failure.message + (f"\n→ {failure.hint}" if failure.hint else "")),
            severity="error",
            timeout=8,
            markup=False,
        )

    def may_change(self) -> bool:
        """Whether changes are allowed; says so if they are not."""
        if self.read_only:
            self.notify("read-only: nothing is changed from here (:readonly off)", severity="warning", markup=False)
        return not self.read_only


def title(text: str) -> Any:
    """A text for a border: as it stands, without markup. Textual takes it, though it says that it takes strings."""
    return Content(visible(text))


def visible_lines(text: str) -> str:
    """Text of several lines without anything that acts on a terminal."""
    return "\n".join(visible(line) for line in text.split("\n"))
