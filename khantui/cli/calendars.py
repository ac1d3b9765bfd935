"""Calendars: days that have a name, on which the schedules that use them stand still."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import calendar_names
from khantui.cli.session import Session

if TYPE_CHECKING:
    from backend.api.wire import CalendarView


@command("calendars", short_help="List the calendars: days on which schedules stand still.")
@pass_session
def calendars(session: Session) -> None:
    """List the calendars, and which schedules use them.

    Example: khantui calendars
    """
    from khantui.render.rows import calendar_columns

    session.show(
        session.client.calendars(),
        calendar_columns(session.now),
        lambda c: c.name,
        empty="there is no calendar: khantui calendar set NAME DAY…",
    )


@click.group("calendar", short_help="Make, change, show or delete a calendar.")
def calendar() -> None:
    """Days that have a name: `khantui schedule S --calendar NAME` has a schedule stand still on them.

    \b
    Example: khantui calendar set holidays 01-01 12-25 2026-04-03..2026-04-06
             khantui calendar set holidays holidays.txt
             khantui calendar show holidays
    """


@command("set", short_help="Make a calendar, or give it other days.")
@click.argument("name", shell_complete=calendar_names)
@click.argument("days", nargs=-1, required=True, metavar="DAY|FILE…")
@click.option("--description", metavar="TEXT", help="What these days are.")
@pass_session
def set_(session: Session, name: str, days: tuple[str, ...], description: str | None) -> None:
    """Make the calendar NAME, or give it these days instead of those it had. Schedules that use it follow at once.

    A DAY is 2026-12-25, 2026-12-24..2027-01-02, or 12-25 (every year). A FILE has one a line, and # begins a comment;
    with - they are read from stdin.

    \b
    Example: khantui calendar set holidays 12-25 12-26 2026-04-03..2026-04-06
             khantui calendar set holidays holidays.txt --description 'bank holidays of Berlin'
    """
    from msgspec import UNSET

    from backend.api.wire import PutCalendar

    body = PutCalendar(tuple(_days(days)), UNSET if description is None else description)
    session.show_one(session.client.put_calendar(name, body), _lines, lambda c: c.name)


@command("show", short_help="Show the days of a calendar, and which schedules use it.")
@click.argument("name", shell_complete=calendar_names)
@pass_session
def show(session: Session, name: str) -> None:
    """Show the calendar NAME: its days, and the schedules that use it. `-o name` prints the days alone, one a line.

    Example: khantui calendar show holidays
    """
    session.show_one(session.client.calendar(name), _lines, lambda c: "\n".join(c.days))


@command("delete", short_help="Delete a calendar that no schedule uses.")
@click.argument("name", shell_complete=calendar_names)
@pass_session
def delete(session: Session, name: str) -> None:
    """Delete the calendar NAME. It is refused while a schedule uses it.

    Example: khantui calendar delete holidays
    """
    session.client.delete_calendar(name)
    session.show_one(
        {"name": name, "outcome": "deleted"}, lambda d: [f"the calendar {name} is deleted"], lambda d: d["name"]
    )


for each in (set_, show, delete):
    calendar.add_command(each)


def _days(words: tuple[str, ...]) -> Iterator[str]:
    """Days as they are, and those of files."""
    from khantui.state.when import days_in, days_of

    for word in words:
        if word == "-":
            yield from days_in(sys.stdin.read())
        elif not word.startswith("@") and Path(word).is_file():
            yield from days_of((f"@{word}",))
        else:
            yield from days_of((word,))


def _lines(view: CalendarView) -> Iterator[str]:
    from khantui.render.text import visible

    facts = [
        ("calendar", view.name),
        ("what", view.description),
        ("days", " ".join(view.days)),
        ("used by", ", ".join(view.schedules) or f"no schedule: khantui schedule S --calendar {view.name}"),
        ("changed by", view.updated_by),
    ]
    for label, value in facts:
        if value:
            yield f"{label:<16}{visible(value)}"
