"""Channels: where notifications go, how telling goes, and a test of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from msgspec import UNSET
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Label

from backend.api.wire import ChannelTest, ChannelView, PutChannel
from khantui.errors import Failure, Misuse
from khantui.render.channels import answer_lines, channel_lines
from khantui.render.rows import channel_columns
from khantui.render.table import Column
from khantui.render.text import visible
from khantui.screens import acts
from khantui.screens.asked import Asked
from khantui.screens.form import Storing
from khantui.screens.text import TextPage
from khantui.state.rows import ListRows
from khantui.state.when import seconds_of

FIELDS = frozenset(("name", "state", "service"))
_SOON = 5.0  # seconds between two looks: what channels tell is no event


class Channels(Asked[ChannelView]):
    """All channels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "test_channel", "test"),
        Binding("n", "new_channel", "new"),
        Binding("e", "edit_channel", "edit"),
        Binding("ctrl+d", "delete_channel", "remove"),
    ]
    TITLE_WORD = "Channels"
    EMPTY = "there is no channel yet: n makes one"
    FAULTS = "state=failing"
    SORTS: ClassVar[dict[str, Callable[[Any], Any]]] = {"CHANNEL": lambda c: c.name, "STATE": lambda c: c.state}

    def begin(self) -> None:
        super().begin()
        self.set_interval(_SOON, self.look)

    def make_rows(self) -> ListRows[ChannelView]:
        return ListRows(subject=subject, fields=FIELDS)

    def columns(self) -> Sequence[Column[ChannelView]]:
        return channel_columns()

    def identify(self, item: ChannelView) -> str:
        return item.name

    async def ask(self) -> Sequence[ChannelView] | None:
        try:
            return await self.host.link.ask(lambda c: c.channels())
        except Failure as failure:
            if failure.exit_code != 3:  # that the daemon is away is said elsewhere, and not every few seconds
                self.host.say(failure)
            return None

    def action_open(self) -> None:
        """All about it; its URLs are never shown."""
        if (channel := self.table.current) is not None:
            self.app.push_screen(TextPage(f"channel {channel.name}", channel_lines(channel)))

    @work(group="act")
    async def action_test_channel(self) -> None:
        """Have it send a message now, and show what each service said."""
        if (channel := self.table.current) is None:
            return
        self.notify(f"{channel.name} sends a test message …", markup=False)
        found: ChannelTest | None = await self.host.ask(lambda c: c.test_channel(channel.name))
        if found is not None:
            said = "it works" if found.good else "it does not work"
            self.app.push_screen(TextPage(f"test of {channel.name}: {said}", answer_lines(found)))
        self.look()

    @work(group="act")
    async def action_new_channel(self) -> None:
        """Ask for a name and URLs."""
        if await self.host.push_screen_wait(ChannelForm(None)) is not None:
            self.look()

    @work(group="act")
    async def action_edit_channel(self) -> None:
        """Change it; URLs that are not written anew stay."""
        if (channel := self.table.current) is not None and await self.host.push_screen_wait(
            ChannelForm(channel)
        ) is not None:
            self.look()

    @work(group="act")
    async def action_delete_channel(self) -> None:
        """Forget what is marked, after a question."""
        names = self.table.chosen()
        if not names:
            return
        what = f"the channel {names[0]}" if len(names) == 1 else f"{len(names)} channels"
        lost = "what is not told yet is told no more"
        gone = await acts.delete_each(self.host, "remove", what, lost, names, lambda c, name: c.delete_channel(name))
        if gone is not None:
            self.table.clear_marks()
            self.look()


class ChannelForm(Storing[str]):
    """A channel, new or as it is."""

    def __init__(self, before: ChannelView | None) -> None:
        super().__init__(f"channel {before.name}" if before else "a new channel")
        self._before = before

    def fields(self) -> ComposeResult:
        before = self._before
        if before is None:
            yield Label("name")
            yield Input(placeholder="oncall", id="name", compact=True)
        yield Label("URLs, with spaces between; they are never shown again")
        hint = f"{', '.join(before.services)}: empty leaves them" if before else "slack://… mailto://…"
        yield Input(placeholder=visible(hint), id="urls", password=True, compact=True)
        yield Label("what happens within this time becomes one message")
        yield Input(f"{before.every}s" if before else "1m", placeholder="1m", id="every", compact=True)

    async def stored(self) -> str:
        name = self._before.name if self._before else self.text("name")
        if not name:
            raise Misuse("the channel needs a name")
        urls = tuple(self.text("urls").split())
        body = PutChannel(urls=urls or UNSET, every=seconds_of(self.text("every"), "within this time"))
        await self.host.link.ask(lambda c: c.put_channel(name, body))
        self.host.notify(f"the channel {name} is stored: t tests it", markup=False)
        return name


def subject(channel: ChannelView) -> dict[str, object]:
    """What the filter language can ask about a channel."""
    return {"name": channel.name, "state": channel.state, "service": " ".join(channel.services)}
