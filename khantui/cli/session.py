"""What all commands share: where the daemon is, how to print, and what the terminal can do."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from khantui.api.client import Client
    from khantui.render.table import Column

T = TypeVar("T")
OUTPUTS = ("table", "json", "jsonl", "name")


@dataclass
class Session:
    """One call of the program."""

    address: str | None = None
    data: str | None = None
    output: str | None = None
    message: str | None = None  # why, for the journal
    _client: Client | None = field(default=None, repr=False)

    @property
    def client(self) -> Client:
        """The daemon. Raises Misuse for an address that is none; it is reached at the first request."""
        if self._client is None:
            from khantui.api.address import resolve
            from khantui.api.client import Client

            self._client = Client(resolve(self.address, self.data, os.environ), reason=self.reason)
        return self._client

    @property
    def reason(self) -> str:
        """Why things are done, for the journal."""
        return self.message or os.environ.get("KHANTUI_MESSAGE", "")

    @property
    def folder(self) -> Path:
        """The data folder."""
        from khantui.api.address import data_folder

        return data_folder(self.data, os.environ)

    def command(self, text: str) -> str:
        """A command to suggest, for the daemon that this one talks with."""
        return f"{text} --data {self.data}" if self.data else text

    @property
    def for_people(self) -> bool:
        """Whether tables and sentences are wanted, rather than something for programs."""
        return self.output in (None, "table")

    @property
    def colour(self) -> bool:
        """Whether colours may be printed on stdout."""
        return wants_colour(sys.stdout.isatty())

    @property
    def space(self) -> int | None:
        """Columns of the terminal; None where there is none, and lines may be as long as they are."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    @property
    def now(self) -> datetime:
        """The moment that relative times are relative to."""
        return datetime.now(UTC)

    def close(self) -> None:
        """Let go of the daemon."""
        if self._client is not None:
            self._client.close()

    def show(
        self,
        items: Iterable[T],
        columns: Sequence[Column[T]],
        name: Callable[[T], str],
        *,
        empty: str = "",
    ) -> None:
        """Print a list as the user wants it; `empty` is said on stderr where people would see an empty table."""
        if self.output == "name":
            for item in items:
                click.echo(name(item))
        elif self.output == "jsonl":
            for item in items:
                click.echo(encode(item))
        elif self.output == "json":
            click.echo(encode(list(items), indent=2))
        else:
            from khantui.render.table import table

            rows = list(items)
            if not rows:
                click.echo(empty or "nothing to show", err=True)
                return
            for line in table(rows, columns, space=self.space, colour=self.colour):
                click.echo(line, color=self.colour)

    def show_one(self, item: T, lines: Callable[[T], Iterable[str]], name: Callable[[T], str]) -> None:
        """Print one thing as the user wants it."""
        if self.output == "name":
            click.echo(name(item))
        elif self.output in ("json", "jsonl"):
            click.echo(encode(item, indent=2 if self.output == "json" else 0))
        else:
            for line in lines(item):
                click.echo(line, color=self.colour)


def encode(item: Any, indent: int = 0) -> str:
    """JSON of wire structs and plain values."""
    import msgspec

    raw = msgspec.json.encode(item)
    return (msgspec.json.format(raw, indent=indent) if indent else raw).decode()


def wants_colour(terminal: bool) -> bool:
    """Whether to colour what goes to such a stream (https://no-color.org)."""
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def note(text: str) -> None:
    """Say something to people beside the output."""
    click.echo(text, err=True)
