"""What screens know of the application that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from textual.actions import ActionParseResult
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen
from textual.worker import active_worker

from backend.api.wire import WhoView
from khantui.api.client import Client
from khantui.api.http import BECAUSE
from khantui.errors import Failure
from khantui.render.text import visible
from khantui.screens.rights import OPERATIONS, Guarded
from khantui.state.access import on_pipeline
from khantui.state.link import Link
from khantui.state.overview import Overview

T = TypeVar("T")


class Host(App[int]):
    """The application: one connection, what is known over it, and the way to other screens."""

    link: Link
    overview: Overview
    read_only = False
    trouble = ""  # what keeps the daemon from doing all that it does, in a few words
    context = ""  # the name of the daemon, if it has one
    commands: tuple[str, ...] = ()
    who: WhoView | None = None  # as the daemon knows us; None while that is not known

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

    def pop_screen(self) -> AwaitComplete:
        """As Textual does it; what the screen has under way ends with it, and finds no widget half gone."""
        gone = self.screen
        popped = super().pop_screen()
        for worker in list(self.workers):
            if worker is not active_worker.get(None) and gone in worker.node.ancestors_with_self:
                worker.cancel()
        return popped

    async def push_screen_wait(  # type: ignore[override]  # no screen here is known by its name
        self, screen: Screen[T], *, mode: str | None = None
    ) -> T:
        """As Textual does it; a reason that was given there is that of what is asked for next, for the journal."""
        said = await super().push_screen_wait(screen, mode=mode)
        if because := getattr(screen, "because", ""):
            BECAUSE.set(because)
        return said

    async def ask(self, call: Callable[[Client], T]) -> T | None:
        """The answer of the daemon, or None after its refusal was shown."""
        try:
            return await self.link.ask(call)
        except Failure as failure:
            self.say(failure)
            return None

    async def done(self, call: Callable[[Client], None]) -> bool:
        """Whether the daemon did what has no answer; its refusal is shown."""

        def through(client: Client) -> bool:
            call(client)
            return True

        return bool(await self.ask(through))

    def say(self, failure: Failure) -> None:
        """Show what went wrong and what to do."""
        self.notify(
            visible_lines(failure.message + (f"\n→ {failure.hint}" if failure.hint else "")),
            severity="error",
            timeout=8,
            markup=False,
        )

    def refusal(self, action: str, pipeline: str = "") -> str:
        """Why an action of a screen is not allowed here; empty if it is, or only looks.

        On this `pipeline`, or on the one that the screen is about.
        """
        operation = OPERATIONS.get(action, "")
        if not operation:
            return ""
        if self.read_only:
            return "read-only: nothing is changed from here (:readonly off)"
        who = self.who
        if who is None:
            return ""
        if operation in who.refused:
            role, needed = who.role, who.refused[operation]
            return f"not for the role {visible(role)}, which {visible(who.name)} has here: {needed} may"
        pipeline = pipeline or self._about()
        if operation not in who.partly or not pipeline:
            return ""
        known = self.overview.pipelines.get(pipeline)
        decision = on_pipeline(who, who.partly[operation], pipeline, known.labels if known is not None else {})
        if decision.allowed:
            return ""
        has = f"the role {decision.role}" if decision.role != "anyone" else "no role"
        return f"{visible(who.name)} has {has} on {visible(pipeline)}: {decision.needed} may"

    def _about(self) -> str:
        """The pipeline that the screen in front is about; of one that asks something, the one behind it."""
        return next((s.about() for s in reversed(self.screen_stack) if isinstance(s, Guarded)), "")

    def allows(self, action: str, pipeline: str = "") -> bool:
        """Whether an action is allowed; says why if it is not."""
        reason = self.refusal(action, pipeline)
        if reason:
            self.notify(reason, severity="warning", markup=False)
        return not reason

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """As Textual does it; a key that is shown as disabled says why."""
        name = action.partition("(")[0] if isinstance(action, str) else action[1]
        if not self.allows(name.rpartition(".")[2]):
            return True
        return await super().run_action(action, default_namespace, namespaces)


def title(text: str) -> Any:
    """A text for a border: as it stands, without markup. Textual takes it, though it says that it takes strings."""
    return Content(visible(text))


def visible_lines(text: str) -> str:
    """Text of several lines without anything that acts on a terminal."""
    return "\n".join(visible(line) for line in text.split("\n"))
