"""When pipelines run by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Literal, cast

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import pipeline_names, schedule_names
from khantui.cli.session import Session, note
from khantui.errors import Failure, Misuse

if TYPE_CHECKING:
    from backend.api.wire import PutSchedule, ScheduleView

CatchUp = Literal["none", "latest", "all"]
SHOWN = 5  # firings after a schedule was made


@command("schedules", short_help="List the schedules.")
@click.argument("pipeline", required=False, shell_complete=pipeline_names)
@pass_session
def schedules(session: Session, pipeline: str | None) -> None:
    """List the schedules, or those of PIPELINE.

    Example: khantui schedules weekly-learners
    """
    from khantui.render.rows import schedule_columns

    found = (s for s in session.client.schedules() if pipeline in (None, s.pipeline))
    session.show(
        found,
        schedule_columns(session.now),
        lambda s: s.name,
        empty="there are no schedules: make one with `khantui schedule PIPELINE --cron '0 6 * * *' --tz ZONE`",
    )


@command("schedule", short_help="Say when a pipeline runs.")
@click.argument("pipeline", metavar="NAME", shell_complete=pipeline_names)
@click.option(
    "--cron", multiple=True, metavar="EXPR", help="Repeatedly: minute hour day month weekday. May be repeated."
)
@click.option("--tz", "zone", default="UTC", metavar="ZONE", help="The time zone of --cron and --at: Europe/Berlin, …")
@click.option("--at", metavar="TIME", help="Once: 2026-11-23T06:00.")
@click.option(
    "--after", multiple=True, metavar="PIPELINE", shell_complete=pipeline_names, help="After each good run of it."
)
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="K=V", help="The value of a parameter.")
@click.option(
    "--catch-up",
    type=click.Choice(["none", "latest", "all"]),
    default="latest",
    help="Which of the firings missed while the daemon was down are made up for.",
    show_default=True,
)
@click.option("--name", "own", metavar="S", help="The schedule's own name; the pipeline's by default.")
@click.option("--remove", is_flag=True, help="Remove the schedule instead.")
@pass_session
def schedule(
    session: Session,
    pipeline: str,
    cron: tuple[str, ...],
    zone: str,
    at: str | None,
    after: tuple[str, ...],
    parameters: tuple[str, ...],
    catch_up: str,
    own: str | None,
    remove: bool,
) -> None:
    """Say when the pipeline NAME runs: repeatedly, once, or after other pipelines.

    Example: khantui schedule weekly-learners --cron '0 6 * * MON' --tz Europe/Berlin
    """
    if remove:
        _remove(session, own or pipeline)
        return
    if [bool(cron), bool(at), bool(after)].count(True) != 1:
        raise click.UsageError("say when: one of --cron EXPR, --at TIME or --after PIPELINE")
    body = _body(pipeline, cron, zone, at, after, parameters, cast("CatchUp", catch_up))
    name = own or _free_name(session, body)
    made = session.client.put_schedule(name, body)
    session.show_one(made, lambda s: _firings(session, s), lambda s: s.name)


def _body(
    pipeline: str,
    cron: tuple[str, ...],
    zone: str,
    at: str | None,
    after: tuple[str, ...],
    parameters: tuple[str, ...],
    catch_up: CatchUp,
) -> PutSchedule:
    from backend.api.wire import PutSchedule
    from khantui.cli.run import pairs

    return PutSchedule(
        pipeline=pipeline,
        kind="cron" if cron else "once" if at else "after",
        cron=cron,
        zone=zone,
        at=_moment(at, zone) if at else None,
        after=after,
        parameters=pairs(parameters),
        catch_up=catch_up,
    )


def _moment(text: str, zone: str) -> datetime:
    """The moment that `text` means in `zone`. Raises Misuse."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Misuse(f"{text!r} is no time that I understand", "write 2026-11-23T06:00") from None
    try:
        return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Misuse(f"there is no time zone {zone!r}", "e.g. Europe/Berlin or UTC") from None


def _free_name(session: Session, body: PutSchedule) -> str:
    """The pipeline's name, or name-2, name-3 … where others have it. Saying the same twice makes one schedule."""
    taken = {s.name: s for s in session.client.schedules()}
    number, name = 1, body.pipeline
    while name in taken and not _same(taken[name], body):
        number += 1
        name = f"{body.pipeline}-{number}"
    return name


def _same(view: ScheduleView, body: PutSchedule) -> bool:
    return not view.done and all(
        getattr(view, field) == getattr(body, field)
        for field in ("pipeline", "kind", "cron", "zone", "at", "after", "parameters")
    )


def _remove(session: Session, name: str) -> None:
    session.client.delete_schedule(name)
    session.show_one(
        {"name": name, "outcome": "removed"}, lambda d: [f"the schedule {name} is removed"], lambda d: d["name"]
    )


def _firings(session: Session, view: ScheduleView) -> Iterator[str]:
    from khantui.render.rows import schedule_when
    from khantui.render.text import visible

    yield f"schedule {visible(view.name)} of {visible(view.pipeline)}: {visible(schedule_when(view))}"
    if view.cron:
        yield f"  {visible(' | '.join(view.cron))}"
    if view.paused:
        yield f"  paused; resume it: khantui resume {visible(view.name)}"
    yield from moment_lines(view.next[:SHOWN], view.zone, session.now)


def moment_lines(moments: tuple[datetime, ...] | list[datetime], zone: str, now: datetime) -> Iterator[str]:
    """Firings in the schedule's zone and in UTC, with a word where the offset changes."""
    from zoneinfo import ZoneInfo

    from khantui.render.moments import ago

    before = None
    for moment in moments:
        local = moment.astimezone(ZoneInfo(zone))
        offset = local.utcoffset()
        changed = "  ~ the clocks have changed" if before is not None and offset != before else ""
        utc = "" if zone == "UTC" else f"  ({moment.astimezone(ZoneInfo('UTC')):%H:%M} UTC)"
        yield f"  {local:%a %Y-%m-%d %H:%M}{utc}  {ago(moment, now)}{changed}"
        before = offset


def _each(session: Session, names: tuple[str, ...], change: Callable[[str], ScheduleView]) -> None:
    """Change each of the schedules; one that cannot be changed does not keep the others from it."""
    from khantui.render.rows import schedule_columns

    changed: list[ScheduleView] = []
    failure: Failure | None = None
    for name in names:
        try:
            changed.append(change(name))
        except Failure as error:
            if failure is not None:
                note(f"khantui: {failure.message}")
            failure = error
    if changed:
        session.show(changed, schedule_columns(session.now), lambda s: s.name)
    if failure is not None:
        raise failure


@command("pause", short_help="Pause schedules.")
@click.argument("names", nargs=-1, required=True, metavar="S…", shell_complete=schedule_names)
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever wonders.")
@pass_session
def pause(session: Session, names: tuple[str, ...], reason: str) -> None:
    """Have each schedule S start nothing until it is resumed.

    Example: khantui pause monday-6 --reason 'the source is being moved'
    """
    _each(session, names, lambda name: session.client.pause(name, reason))


@command("resume", short_help="Resume schedules.")
@click.argument("names", nargs=-1, required=True, metavar="S…", shell_complete=schedule_names)
@pass_session
def resume(session: Session, names: tuple[str, ...]) -> None:
    """Have each paused schedule S start runs again, from its next firing on.

    Example: khantui resume monday-6
    """
    _each(session, names, session.client.resume)


@command("preview", short_help="Show the next firings of a schedule.")
@click.argument("name", metavar="S", shell_complete=schedule_names)
@click.option("-n", "count", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@pass_session
def preview(session: Session, name: str, count: int) -> None:
    """Show the next firings of the schedule S, in its time zone and in UTC.

    Example: khantui preview monday-6 -n 20
    """
    view = session.client.schedule(name)
    moments = session.client.preview(name, count)
    if session.for_people:
        for line in moment_lines(moments, view.zone, session.now):
            click.echo(line)
        if not moments:
            from khantui.render.rows import schedule_when

            note(f"{name} runs {schedule_when(view)}: no time is known ahead")
        return
    if session.output == "name":
        for moment in moments:
            click.echo(moment.isoformat())
        return
    session.show(moments, [], str)
