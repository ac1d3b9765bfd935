"""What all schedules will do over the next day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session

if TYPE_CHECKING:
    from backend.schedule.forecast import Slot

SLOTS = ("1", "5", "10", "15", "30", "60")


@command("forecast", short_help="Show what all schedules will start, and when it is too much.")
@click.option("--from", "since", metavar="T", help="From this moment on: 2026-11-23T06:00; now, by default.")
@click.option("--hours", type=click.IntRange(1, 168), default=24, show_default=True, help="How many.")
@click.option("--slot", type=click.Choice(SLOTS), help="Minutes of a slot (30; 15 for programs).")
@click.option("--tz", "zone", default="UTC", metavar="ZONE", help="The time zone of --from, and of what is shown.")
@pass_session
def forecast(session: Session, since: str | None, hours: int, slot: str | None, zone: str) -> None:
    """Show when runs start, slot by slot, how many stages run at once then, and minutes in which too many start, with
    others nearby that have room. What follows other pipelines is estimated from how long runs have taken.

    Example: khantui forecast --from 2026-11-23 --hours 12 --tz Europe/Berlin
    """
    from khantui.render.forecast import about, chart, text_of
    from khantui.state.when import moment_of, zone_of

    there = zone_of(zone)
    minutes = int(slot or ("30" if session.for_people else "15"))
    found = session.client.forecast(moment_of(since, zone) if since else None, hours, minutes)
    lines = [*chart(found, there, session.space or 100), [], *about(found, there)]
    if not found.starts:
        lines = [[("nothing starts by a schedule in this time", "")]]
    session.show_one(
        found, lambda _: (text_of(line, session.space) for line in lines), lambda f: "\n".join(_started(f.slots))
    )


def _started(slots: tuple[Slot, ...]) -> list[str]:
    return sorted({name for slot in slots for name in slot.schedules})
