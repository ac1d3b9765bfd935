"""Where notifications go: making channels, looking at how telling goes, and trying them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, group, pass_session
from khantui.cli.complete import channel_names
from khantui.cli.session import Session
from khantui.errors import Misuse

if TYPE_CHECKING:
    from backend.api.wire import ChannelTest, ChannelView


@group("channels", short_help="List where notifications go, add more, or test one.")
@click.pass_context
@pass_session
def channels(session: Session, ctx: click.Context) -> None:
    """List the channels that pipelines tell of failures, and how telling goes.

    \b
    Example: khantui channels
             khantui channels -o json
    """
    if ctx.invoked_subcommand is not None:
        return
    from khantui.render.rows import channel_columns

    session.show(session.client.channels(), channel_columns(), lambda c: c.name, empty="there is no channel yet")


@command("add", short_help="Make or change a channel.")
@click.argument("name", shell_complete=channel_names)
@click.argument("urls", nargs=-1, metavar="[URL]…")
@click.option("--every", metavar="SPAN", help="What happens within this time becomes one message (1m).")
@click.option("--title", metavar="TEMPLATE", help="The title, with fields such as $pipeline; '' for our own.")
@click.option("--body", metavar="TEMPLATE", help="The body, with fields such as $error; '' for our own.")
@pass_session
def add(
    session: Session, name: str, urls: tuple[str, ...], every: str | None, title: str | None, body: str | None
) -> None:
    """Make the channel NAME, or change what is given of it. It takes an administrator.

    Each URL is a service, as https://appriseit.com/services lists them. With - they are read from stdin, a line each,
    so that they are in no list of processes. They are kept, and never shown again.

    \b
    Example: khantui channels add oncall slack://TokenA/TokenB/TokenC --every 5m
             khantui channels add oncall - < urls
    """
    from msgspec import UNSET

    from backend.api.wire import PutChannel

    if urls == ("-",):
        urls = tuple(line.strip() for line in sys.stdin if line.strip())
        if not urls:
            raise Misuse("there is no URL on stdin")
    given = PutChannel(
        urls=urls or UNSET,
        every=_seconds(every) if every is not None else UNSET,
        title=title if title is not None else UNSET,
        body=body if body is not None else UNSET,
    )
    session.show_one(session.client.put_channel(name, given), _lines, lambda c: c.name)


@command("remove", short_help="Forget a channel.")
@click.argument("name", shell_complete=channel_names)
@pass_session
def remove(session: Session, name: str) -> None:
    """Forget the channel NAME, with what it has not told yet. It takes an administrator.

    Example: khantui channels remove oncall
    """
    session.client.delete_channel(name)
    session.show_one(
        {"name": name, "outcome": "removed"}, lambda d: [f"the channel {name} is removed"], lambda d: d["name"]
    )


@command("test", short_help="Send a test message now.")
@click.argument("name", shell_complete=channel_names)
@pass_session
def test(session: Session, name: str) -> int:
    """Have the channel NAME send a test message now, and print what each service said. Exit 1 if one failed.

    Example: khantui channels test oncall
    """
    found = session.client.test_channel(name)
    session.show_one(found, _answers, lambda t: t.channel)
    return 0 if found.good else 1


for each in (add, remove, test):
    channels.add_command(each)


def _seconds(text: str) -> int:
    from khantui.render.moments import parse_span

    try:
        return int(parse_span(text).total_seconds())
    except ValueError:
        raise Misuse(f"--every {text!r} is no span of time", "write 90s, 5m, 1h") from None


def _answers(found: ChannelTest) -> Iterator[str]:
    from khantui.render.text import visible

    for answer in found.answers:
        yield visible(f"{answer.service}: {'it was sent' if answer.good else answer.said}")


def _lines(view: ChannelView) -> Iterator[str]:
    """Everything about a channel, for people."""
    from khantui.render.text import visible

    facts = [
        ("channel", view.name),
        ("services", ", ".join(view.services)),
        ("gathers for", f"{view.every} s"),
        ("title", view.title),
        ("body", view.body),
        ("try it", f"khantui channels test {view.name}"),
    ]
    for label, value in facts:
        if value:
            yield f"{label:<16}{visible(value)}"
