"""When pipelines run by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import calendar_names, pipeline_names, schedule_names
from khantui.cli.session import Session, note
from khantui.errors import Failure

if TYPE_CHECKING:
    from backend.api.wire import PutSchedule, ScheduleView
    from backend.schedule.model import Kind

_KINDS = {"cron": "cron", "once": "at", "every": "every", "after": "after"}  # kind -> the option that says it
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
@click.option("--tz", "zone", metavar="ZONE", help="The time zone of all that is said here: Europe/Berlin, … (UTC)")
@click.option("--at", metavar="TIME", help="Once: 2026-11-23T06:00.")
@click.option("--every", metavar="SPAN", help="Again and again after a span of time, counted from --start: 90m.")
@click.option(
    "--after",
    multiple=True,
    metavar="PIPELINE[/OUTPUT]",
    shell_complete=pipeline_names,
    help="After each good run of it, or after one that has changed its output.",
)
@click.option(
    "--on", "condition", type=click.Choice(["succeeded", "failed", "ended"]), help="After runs that ended so."
)
@click.option("--all", "join", flag_value="all", default=None, help="Once all that --after names have.")
@click.option("--any", "join", flag_value="any", help="Whenever one of them has (the default).")
@click.option(
    "--match",
    type=click.Choice(["date", "time", "latest"]),
    help="With --all: runs of the same logical date or time belong together, or whatever is the latest.",
)
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="K=V", help="The value of a parameter.")
@click.option(
    "--catch-up",
    type=click.Choice(["none", "latest", "all"]),
    help="Which of the firings missed while the daemon was down are made up for (latest).",
)
@click.option("--window", metavar="SPAN", help="Make up for none that is older: 2d.")
@click.option(
    "--overlap",
    type=click.Choice(["pipeline", "queue", "skip", "replace"]),
    help="What a firing does while a run of the schedule is active (what the pipeline's concurrency says).",
)
@click.option("--jitter", metavar="SPAN", help="Start up to so long later, each time another while: 5m.")
@click.option("--start", metavar="TIME", help="Fire nothing before: 2026-12-01.")
@click.option("--end", metavar="TIME", help="Nor after: 2026-12-31 (that day included).")
@click.option("--skip", multiple=True, metavar="DAY", help="2026-12-25, FROM..TO, 12-25 (every year) or @FILE of them.")
@click.option(
    "--calendar",
    "calendars",
    multiple=True,
    metavar="NAME",
    shell_complete=calendar_names,
    help="Nor on the days of this calendar; '' for none any more.",
)
@click.option("--deadline", metavar="TIME", help="When a run must have ended: 07:00, 07:00+1d, or after a span: 2h.")
@click.option("--name", "own", metavar="S", help="The schedule's own name; the pipeline's by default.")
@click.option("--dry-run", is_flag=True, help="Show what it would do, beside what it does now; change nothing.")
@click.option("--remove", is_flag=True, help="Remove the schedule instead.")
@pass_session
def schedule(session: Session, /, pipeline: str, own: str | None, remove: bool, dry_run: bool, **given: Any) -> None:
    """Say when the pipeline NAME runs: repeatedly, once, or after other pipelines.

    Of a schedule that there is (--name), what is not mentioned stays as it is; "" takes a policy away.

    Example: khantui schedule weekly-learners --cron '0 6 * * MON' --tz Europe/Berlin
    """
    if remove:
        _remove(session, own or pipeline)
        return
    times = [bool(given[kind]) for kind in ("cron", "at", "every", "after")].count(True)
    if times > 1:
        raise click.UsageError("say when: one of --cron EXPR, --at TIME, --every SPAN or --after PIPELINE")
    if times == 0 and not any(given.values()):
        raise click.UsageError("say when: --cron EXPR, --at TIME, --every SPAN or --after PIPELINE")
    old = _existing(session, own or pipeline) if own or times == 0 or dry_run else None
    if times == 0 and old is None:
        raise click.UsageError(
            f"there is no schedule {own or pipeline} to change: say when it runs, with --cron, --at, --every or --after"
        )
    body = _body(pipeline, given, old)
    if dry_run:
        _dry_run(session, own or pipeline, body)
        return
    made = session.client.put_schedule(own or (_free_name(session, body) if times else pipeline), body)
    session.show_one(made, lambda s: _firings(session, s), lambda s: s.name)


def _existing(session: Session, name: str) -> ScheduleView | None:
    try:
        return session.client.schedule(name)
    except Failure as failure:
        if failure.code != "not-found":
            raise
        return None


def _dry_run(session: Session, name: str, body: PutSchedule) -> None:
    from khantui.cli.preview import show_preview

    seen = session.client.foresee(name, body)
    if session.for_people:
        show_preview(session, seen)
    else:
        session.show_one(seen, lambda _: (), lambda s: s.name)


def _body(pipeline: str, given: dict[str, Any], old: ScheduleView | None) -> PutSchedule:
    """What was said, for the daemon; of a schedule that is changed, when it fires stays unless it was said."""
    from msgspec import UNSET

    from backend.api.wire import PutSchedule
    from khantui.cli.run import pairs
    from khantui.state.when import days_of, moment_of, seconds_of

    zone = given["zone"] or (old.zone if old else "UTC")

    def moment(text: str | None, last: bool = False) -> Any:
        return UNSET if text is None else moment_of(text, zone, last=last) if text else None

    def span(option: str) -> Any:
        text = given[option]
        return UNSET if text is None else seconds_of(text, f"--{option}")

    def unless(value: Any, nothing: Any = None) -> Any:
        return UNSET if value == nothing else value

    overlap = given["overlap"]
    kind = next((k for k, option in _KINDS.items() if given[option]), old.kind if old else "cron")
    same = old if not any(given[option] for option in _KINDS.values()) else None
    return PutSchedule(
        pipeline=pipeline if same is None else same.pipeline,
        kind=cast("Kind", kind),
        cron=same.cron if same else given["cron"],
        zone=unless(given["zone"]),
        at=same.at if same else moment_of(given["at"], zone) if given["at"] else None,
        every=same.every if same else seconds_of(given["every"] or "", "--every"),
        after=same.after if same else given["after"],
        condition=unless(given["condition"]),
        join=unless(given["join"]),
        match=unless(given["match"]),
        parameters=pairs(given["parameters"]) if given["parameters"] else UNSET,
        catch_up=unless(given["catch_up"]),
        window=span("window"),
        overlap=UNSET if overlap is None else "" if overlap == "pipeline" else overlap,
        jitter=span("jitter"),
        start=moment(given["start"]),
        end=moment(given["end"], last=True),
        skip=days_of(given["skip"]) if given["skip"] else UNSET,
        calendars=tuple(filter(None, given["calendars"])) if given["calendars"] else UNSET,
        deadline=unless(given["deadline"]),
    )


def _free_name(session: Session, body: PutSchedule) -> str:
    """The pipeline's name, or name-2, name-3 … where others have it. Saying the same twice makes one schedule."""
    taken = {s.name: s for s in session.client.schedules()}
    number, name = 1, body.pipeline
    while name in taken and not _same(taken[name], body):
        number += 1
        name = f"{body.pipeline}-{number}"
    return name


def _same(view: ScheduleView, body: PutSchedule) -> bool:
    """Whether a schedule is what is asked for: what was not mentioned is as it may be."""
    from msgspec import UNSET

    fields = ("pipeline", "kind", "cron", "zone", "at", "every", "after", "condition", "join", "parameters")
    defaults = {"zone": "UTC", "condition": "succeeded", "join": "any", "parameters": {}}
    asked = {f: v if (v := getattr(body, f)) is not UNSET else defaults[f] for f in fields}
    return not view.done and all(getattr(view, field) == value for field, value in asked.items())


def _remove(session: Session, name: str) -> None:
    session.client.delete_schedule(name)
    session.show_one(
        {"name": name, "outcome": "removed"}, lambda d: [f"the schedule {name} is removed"], lambda d: d["name"]
    )


def _firings(session: Session, view: ScheduleView) -> Iterator[str]:
    from khantui.cli.preview import moment_lines
    from khantui.render.rows import schedule_when
    from khantui.render.text import visible

    yield f"schedule {visible(view.name)} of {visible(view.pipeline)}: {visible(schedule_when(view))}"
    if view.cron:
        yield f"  {visible(' | '.join(view.cron))}"
    if view.paused:
        yield f"  paused; resume it: khantui resume {visible(view.name)}"
    yield from moment_lines(view.next[:SHOWN], view.zone, session.now)
    for warning in view.warnings:
        note(f"! {visible(warning)}")


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
@click.option("--until", metavar="TIME", help="Go on by itself then: 2026-12-01, in UTC; or after a span: 2h.")
@pass_session
def pause(session: Session, names: tuple[str, ...], reason: str, until: str | None) -> None:
    """Have each schedule S start nothing until it is resumed.

    Example: khantui pause monday-6 --reason 'the source is being moved' --until 2026-12-01
    """
    from khantui.state.when import moment_or_span

    moment = moment_or_span(until or "", "UTC", session.now)
    _each(session, names, lambda name: session.client.pause(name, reason, moment))


@command("resume", short_help="Resume schedules.")
@click.argument("names", nargs=-1, required=True, metavar="S…", shell_complete=schedule_names)
@pass_session
def resume(session: Session, names: tuple[str, ...]) -> None:
    """Have each paused schedule S start runs again, from its next firing on.

    Example: khantui resume monday-6
    """
    _each(session, names, session.client.resume)
