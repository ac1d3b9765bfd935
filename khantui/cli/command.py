"""The kind of command that all commands are: with -o, --address and --data, in whatever place they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from khantui.cli.session import OUTPUTS, Session

_HELP = {"help_option_names": ["-h", "--help"]}


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    session = ctx.ensure_object(Session)
    if value is not None and param.name is not None:
        setattr(session, param.name, value)


class KhanCommand(click.Command):
    """A command with the options that every command has; its callback gets a Session by `pass_session`."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params += _common_options(self.params)


class KhanGroup(click.Group):
    """A group that does something by itself as well, and so has the same options."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params += _common_options(self.params)


def _common_options(own: list[click.Parameter]) -> list[click.Parameter]:
    options: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
        (("-o", "--output"), {"type": click.Choice(OUTPUTS), "help": "What to print: a table by default."}),
        (("--address",), {"metavar": "URL", "help": "Where the daemon is (KHANTUI_ADDRESS)."}),
        (("--data",), {"metavar": "DIR", "help": "The daemon's data folder (KHANTUI_DATA)."}),
        (("--message",), {"metavar": "TEXT", "help": "Why, for the journal.", "hidden": True}),
    )
    taken = {name for each in own for name in each.opts}
    return [
        click.Option(names, callback=_remember, expose_value=False, **extra)
        for names, extra in options
        if taken.isdisjoint(names)
    ]


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], KhanCommand]:
    """Decorator: the function becomes the command `name`."""
    return click.command(name, cls=KhanCommand, context_settings=_HELP, **attributes)


def group(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], KhanGroup]:
    """Decorator: the function becomes the command `name`, with others below it."""
    return click.group(name, cls=KhanGroup, invoke_without_command=True, context_settings=_HELP, **attributes)


pass_session = click.make_pass_decorator(Session, ensure=True)
