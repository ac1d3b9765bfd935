"""Starting a run, and staying with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import pipeline_names
from khantui.cli.session import Session, note

if TYPE_CHECKING:
    from backend.api.wire import RunView


def pairs(values: tuple[str, ...], option: str = "-p") -> dict[str, str]:
    """What `-p K=V` says, said any number of times."""
    found: dict[str, str] = {}
    for value in values:
        name, sign, text = value.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{value!r} is not of the form NAME=VALUE", param_hint=option)
        found[name] = text
    return found


@command("run", short_help="Start a run of a pipeline.")
@click.argument("name", shell_complete=pipeline_names)
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="K=V", help="The value of a parameter.")
@click.option("--date", default="", metavar="D", help="The logical time: 2026-11-23, or 2026-11-23T06:00.")
@click.option("--tz", "zone", default="", metavar="ZONE", help="The time zone of --date, UTC by default.")
@click.option("--version", type=click.IntRange(min=1), metavar="V", help="Run that version, not the current one.")
@click.option("--no-cache", is_flag=True, help="Run every stage, also where an earlier result could stand.")
@click.option("--wait", is_flag=True, help="Stay until it has ended; exit 1 if it did not succeed.")
@click.option("-f", "--follow", is_flag=True, help="Like --wait, and print the logs as they come.")
@pass_session
def run(
    session: Session,
    name: str,
    parameters: tuple[str, ...],
    date: str,
    zone: str,
    version: int | None,
    no_cache: bool,
    wait: bool,
    follow: bool,
) -> int:
    """Start a run of the pipeline NAME, and print its id.

    Example: khantui run weekly-learners -p region=eu --date 2026-11-23 --wait
    """
    from backend.api.wire import StartRun

    body = StartRun(parameters=pairs(parameters), date=date, zone=zone, version=version or 0, fresh=no_cache)
    started = session.client.start_run(name, body)
    if not wait and not follow:
        session.show_one(started, lambda r: [r.id], lambda r: r.id)
        if session.for_people and sys.stderr.isatty():
            note(f"follow it: khantui logs {started.id[-6:]} -f · see it: khantui status {started.id[-6:]}")
        return 0
    return stay(session, started, follow=follow)


def stay(session: Session, started: RunView, *, follow: bool) -> int:
    """Wait until a run has ended, showing how it goes: the exit code."""
    from khantui.cli.waiting import follow_run, wait_for_run

    try:
        final = follow_run(session, started) if follow else wait_for_run(session, started)
    except KeyboardInterrupt:
        note(f"\n{started.pipeline} goes on; cancel it: khantui cancel {started.id[-6:]}")
        return 130
    if not follow or not session.for_people:
        session.show_one(final, lambda r: _result(session, r), lambda r: r.id)
    else:
        for line in _result(session, final):
            note(line)
    return 0 if final.state == "succeeded" else 1


def _result(session: Session, run: RunView) -> Iterator[str]:
    from khantui.cli.status import run_lines

    return run_lines(session, run)
