"""When something would fire: an expression, without a daemon; or a schedule, with what its runs would be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import schedule_names
from khantui.cli.session import Session, encode, note
from khantui.errors import Misuse

if TYPE_CHECKING:
    from backend.api.wire import ForesightView
    from backend.schedule.model import Schedule


@command("preview", short_help="Show the next firings of a schedule.")
@click.argument("name", metavar="[S]", required=False, shell_complete=schedule_names)
@click.option("--cron", multiple=True, metavar="EXPR", help="Of this expression instead, without a daemon.")
@click.option("--every", metavar="SPAN", help="Of this span instead, counted from --from, without a daemon.")
@click.option("--tz", "zone", default="UTC", metavar="ZONE", help="The time zone of --cron and --from.")
@click.option("--from", "since", metavar="T", help="Firings after this moment: 2026-11-23T06:00; now, by default.")
@click.option("-n", "count", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@click.option("--full", is_flag=True, help="With -o json: what each run would have, and what it would meet.")
@pass_session
def preview(
    session: Session,
    name: str | None,
    cron: tuple[str, ...],
    every: str | None,
    zone: str,
    since: str | None,
    count: int,
    full: bool,
) -> None:
    """Show the next firings of the schedule S, in its time zone and in UTC; or those of an expression.

    Example: khantui preview --cron '30 2 * * *' --tz Europe/Berlin --from 2027-03-27 -n 3
    """
    if [bool(name), bool(cron), bool(every)].count(True) != 1:
        raise click.UsageError("name a schedule, or say --cron EXPR or --every SPAN")
    if name is None:
        _expression(session, cron, every, zone, since, count)
    else:
        _schedule(session, name, since, count, full)


def _expression(
    session: Session, cron: tuple[str, ...], every: str | None, zone: str, since: str | None, count: int
) -> None:
    from itertools import islice

    from backend.errors import KhanError
    from backend.schedule.moments import upcoming
    from backend.schedule.warn import warnings
    from khantui.state.when import moment_of

    begin = moment_of(since, zone) if since else session.now
    try:
        schedule = _made_up(cron, every, zone, begin)
        times = list(islice(upcoming(schedule, begin), count))
        warned = warnings(schedule, begin) if session.for_people else ()
    except KhanError as error:
        raise Misuse(error.message, error.hint) from None
    if session.for_people:
        for line in moment_lines(times, zone, session.now):
            click.echo(line)
        for warning in warned:
            note(f"! {warning}")
        if not times:
            note("it never fires")
    elif session.output == "json":
        click.echo(encode({"times": times}, indent=2))
    else:
        for time in times:
            click.echo(encode(time) if session.output == "jsonl" else time.isoformat())


def _made_up(cron: tuple[str, ...], every: str | None, zone: str, begin: datetime) -> Schedule:
    from backend.schedule.model import Schedule
    from khantui.state.when import seconds_of, zone_of

    zone_of(zone)
    if cron:
        return Schedule("preview", "preview", "cron", cron=cron, zone=zone)
    seconds = seconds_of(every or "", "--every")
    if seconds < 1:
        raise Misuse("--every needs a span of time", "write 90m or 1d")
    return Schedule("preview", "preview", "every", every=seconds, zone=zone, created=begin)


def _schedule(session: Session, name: str, since: str | None, count: int, full: bool) -> None:
    from khantui.state.when import moment_of

    begin = moment_of(since, session.client.schedule(name).zone) if since else None
    seen = session.client.foresight(name, count, begin)
    times = [firing.at for firing in seen.firings]
    if session.for_people:
        show_preview(session, seen)
    elif session.output == "json":
        click.echo(encode(seen if full else times, indent=2))
    elif session.output == "jsonl":
        for firing in seen.firings:
            click.echo(encode(firing if full else firing.at))
    else:
        for time in times:
            click.echo(time.isoformat())


def show_preview(session: Session, seen: ForesightView) -> None:
    """A preview for people: what is ahead, beside what was; what it meets; what may surprise."""
    from khantui.render.firings import met
    from khantui.render.text import visible

    if seen.old is not None:
        for line in _side_by_side(seen):
            click.echo(line)
    notes = {firing.at: words for firing in seen.firings if (words := met(firing))}
    if seen.old is None:
        for line in moment_lines([f.at for f in seen.firings], seen.zone, session.now, notes):
            click.echo(line)
    else:
        for line in moment_lines(list(notes), seen.zone, session.now, notes):
            click.echo(line)
    first = seen.firings[0] if seen.firings else None
    if first is not None and first.environment:
        click.echo(f"the first would run with, at {(first.logical_time or first.at).isoformat()}:")
        for variable, value in first.environment.items():
            click.echo(f"  {visible(variable)}={visible(value)}")
    for warning in seen.warnings:
        note(f"! {visible(warning)}")
    if seen.message:
        note(f"{seen.name} ({visible(seen.when)}): {visible(seen.message)}")


def _side_by_side(seen: ForesightView) -> Iterator[str]:
    """When it fires now, and when it would: moments of both in order, each in its column."""
    from zoneinfo import ZoneInfo

    from khantui.render.text import visible

    old, new = seen.old or (), tuple(f.at for f in seen.firings)
    yield f"  {'now: ' + visible(seen.old_when):<44}  {'then: ' + visible(seen.when)}"
    both = sorted({*old, *new})
    # where one list has come to its end, nothing is known of it
    last = min((times[-1] for times in (old, new) if len(times) >= max(len(old), len(new), 1)), default=None)
    for moment in both:
        if last is not None and moment > last:
            break
        here, there = (moment.astimezone(ZoneInfo(zone)) for zone in (seen.old_zone, seen.zone))
        left = f"{here:%a %Y-%m-%d %H:%M %z}" if moment in old else "–"
        right = f"{there:%a %Y-%m-%d %H:%M %z}" if moment in new else "–"
        yield f"{' ' if moment in old and moment in new else '-' if moment in old else '+'} {left:<44}  {right}"


def moment_lines(
    moments: tuple[datetime, ...] | list[datetime], zone: str, now: datetime, notes: dict[datetime, str] | None = None
) -> Iterator[str]:
    """Firings in the schedule's zone and in UTC, with a word where the offset changes, and a note of their own."""
    from zoneinfo import ZoneInfo

    from khantui.render.moments import ago

    before = None
    for moment in moments:
        local = moment.astimezone(ZoneInfo(zone))
        offset = local.utcoffset()
        changed = "  ~ the clocks have changed" if before is not None and offset != before else ""
        utc = "" if zone == "UTC" else f"  ({moment.astimezone(UTC):%H:%M} UTC)"
        clock = f"{local:%a %Y-%m-%d %H:%M:%S}" if local.second else f"{local:%a %Y-%m-%d %H:%M}"
        noted = f"  – {notes[moment]}" if notes and moment in notes else ""
        yield f"  {clock}{utc}  {ago(moment, now)}{changed}{noted}"
        before = offset
