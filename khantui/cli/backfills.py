"""Running a pipeline for times that have passed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import click

from khantui.cli.command import KhanGroup, command, pass_session
from khantui.cli.complete import backfill_names, pipeline_names
from khantui.cli.session import Session, note, wants_colour
from khantui.errors import Failure

if TYPE_CHECKING:
    from backend.api.wire import BackfillPreview, BackfillView
    from backend.schedule.backfill import Order

LISTED = 1000  # logical times of a dry run
_COMMON = ("-o", "--output", "--address", "--data")  # options that may stand before the word that matters


class _Backfill(KhanGroup):
    """A group in which the name of a pipeline stands for `start` and that name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `start` where it is left out."""
        place = 0
        while place < len(args) and args[place].partition("=")[0] in _COMMON:
            place += 1 if "=" in args[place] else 2
        word = args[place] if place < len(args) else "--help"
        if word not in self.commands and word not in ("-h", "--help"):
            args = [*args[:place], "start", *args[place:]]
        return super().parse_args(ctx, args)


@command("backfills", short_help="List the backfills, newest first.")
@click.argument("pipeline", required=False, shell_complete=pipeline_names)
@pass_session
def backfills(session: Session, pipeline: str | None) -> None:
    """List the backfills, or those of PIPELINE, newest first.

    Example: khantui backfills weekly-learners
    """
    from khantui.render.rows import backfill_columns

    session.show(
        session.client.backfills(pipeline=pipeline),
        backfill_columns(session.now),
        lambda b: b.id,
        empty="there are no backfills: khantui backfill PIPELINE --from DAY --to DAY",
    )


@click.group("backfill", cls=_Backfill, short_help="Run a pipeline for all logical times of a range.")
def backfill() -> None:
    """Run a pipeline for all logical times of a range that has passed: `khantui backfill NAME --from D --to D`.

    \b
    Example: khantui backfill weekly-learners --from 2026-03-01 --to 2026-03-31 --dry-run
             khantui backfill start --help
             khantui backfill pause 7f3k2a
    """


@command("start", short_help="Start a backfill; the word may be left out.")
@click.argument("pipeline", metavar="NAME", shell_complete=pipeline_names)
@click.option("--from", "start", required=True, metavar="D", help="The first day, or moment: 2026-03-01T06:00.")
@click.option("--to", "end", required=True, metavar="D", help="The last one; of a day, all of it.")
@click.option(
    "--step",
    default="",
    metavar="STEP",
    help="A span (1d, 6h), a cron expression, or a schedule of the pipeline. By default its only one, or a day.",
)
@click.option("--tz", "zone", default="", metavar="ZONE", help="The time zone of all this (the schedule's, or UTC).")
@click.option("--parallel", type=click.IntRange(1, 50), default=1, show_default=True, help="So many runs at once.")
@click.option("--order", type=click.Choice(["oldest", "newest"]), default="oldest", help="Which come first (oldest).")
@click.option("--rerun", is_flag=True, help="Also where a run has succeeded already.")
@click.option("--no-cache", is_flag=True, help="Run every stage, also where an earlier result could stand.")
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="K=V", help="The value of a parameter.")
@click.option("--dry-run", is_flag=True, help="List what would run, and with what; start nothing.")
@click.option("--wait", is_flag=True, help="Stay until all have ended; exit 1 if not all succeeded.")
@pass_session
def start(
    session: Session,
    pipeline: str,
    start: str,
    end: str,
    step: str,
    zone: str,
    parallel: int,
    order: str,
    rerun: bool,
    no_cache: bool,
    parameters: tuple[str, ...],
    dry_run: bool,
    wait: bool,
) -> int:
    """Run the pipeline NAME for all logical times of a range, and print the backfill's id.

    Times for which a run with these parameters has succeeded are left out.

    Example: khantui backfill weekly-learners --from 2026-03-01 --to 2026-03-31 --parallel 4 --wait
    """
    from backend.api.wire import StartBackfill
    from khantui.cli.run import pairs

    body = StartBackfill(
        start=start,
        end=end,
        step=step,
        zone=zone,
        parallel=parallel,
        order=cast("Order", order),
        rerun=rerun,
        fresh=no_cache,
        parameters=pairs(parameters),
    )
    if dry_run:
        seen = session.client.preview_backfill(pipeline, body, LISTED)
        session.show_one(seen, _would, lambda p: "\n".join(m.logical_time.isoformat() for m in p.moments if not m.good))
        return 0
    made = session.client.start_backfill(pipeline, body)
    if wait:
        return _stay(session, made)
    session.show_one(made, lambda b: [b.id], lambda b: b.id)
    if session.for_people and sys.stderr.isatty():
        note(f"see it: khantui backfill show {made.id} · its runs: khantui runs backfill={made.id}")
    return 0


@command("show", short_help="Show a backfill, and how far it is.")
@click.argument("identifier", metavar="ID", shell_complete=backfill_names)
@click.option("--wait", is_flag=True, help="Stay until it has ended; exit 1 if not all its runs succeeded.")
@pass_session
def show(session: Session, identifier: str, wait: bool) -> int:
    """Show the backfill ID: what it does and how far it is.

    Example: khantui backfill show 7f3k2a --wait
    """
    view = session.client.backfill(identifier)
    if wait:
        return _stay(session, view)
    session.show_one(view, lambda b: _lines(session, b), lambda b: b.id)
    return 0


@command("pause", short_help="Pause backfills.")
@click.argument("identifiers", nargs=-1, required=True, metavar="ID…", shell_complete=backfill_names)
@pass_session
def pause(session: Session, identifiers: tuple[str, ...]) -> None:
    """Have each backfill ID make no more runs until it is resumed. Runs that have begun go on.

    Example: khantui backfill pause 7f3k2a
    """
    _each(session, identifiers, session.client.pause_backfill)


@command("resume", short_help="Resume backfills.")
@click.argument("identifiers", nargs=-1, required=True, metavar="ID…", shell_complete=backfill_names)
@pass_session
def resume(session: Session, identifiers: tuple[str, ...]) -> None:
    """Have each paused backfill ID make runs again, from where it was.

    Example: khantui backfill resume 7f3k2a
    """
    _each(session, identifiers, session.client.resume_backfill)


@command("cancel", short_help="Cancel backfills, with their runs.")
@click.argument("identifiers", nargs=-1, required=True, metavar="ID…", shell_complete=backfill_names)
@pass_session
def cancel(session: Session, identifiers: tuple[str, ...]) -> None:
    """Have each backfill ID make no more runs, and cancel those of its runs that are active.

    Example: khantui backfill cancel 7f3k2a
    """
    _each(session, identifiers, session.client.cancel_backfill)


for each in (start, show, pause, resume, cancel):
    backfill.add_command(each)


def _each(session: Session, identifiers: tuple[str, ...], change: Callable[[str], BackfillView]) -> None:
    """Change each of them; one that cannot be changed does not keep the others from it."""
    from khantui.render.rows import backfill_columns

    changed: list[BackfillView] = []
    failure: Failure | None = None
    for identifier in identifiers:
        try:
            changed.append(change(identifier))
        except Failure as error:
            if failure is not None:
                note(f"khantui: {failure.message}")
            failure = error
    if changed:
        session.show(changed, backfill_columns(session.now), lambda b: b.id)
    if failure is not None:
        raise failure


def _stay(session: Session, view: BackfillView) -> int:
    """Wait until it has ended, with a line for each step that it makes: the exit code."""
    from khantui.api.stream import watch_backfill
    from khantui.render.status import label, progress

    colour, said = wants_colour(sys.stderr.isatty()), ""
    try:
        for seen in watch_backfill(session.client, view.id):
            view, line = seen, f"{label(seen.state, colour)} {progress(seen.progress, colour=colour, columns=20)}"
            if failed := seen.progress["failed"]:
                line += f", {failed} failed"
            if line != said:
                said = line
                note(line)
    except KeyboardInterrupt:
        note(f"\nit goes on; cancel it: khantui backfill cancel {view.id}")
        return 130
    session.show_one(view, lambda b: _lines(session, b), lambda b: b.id)
    return 0 if view.state == "succeeded" else 1


def _lines(session: Session, view: BackfillView) -> Iterator[str]:
    """All about a backfill, for people."""
    from khantui.render.moments import span
    from khantui.render.rows import backfill_note
    from khantui.render.status import label, progress
    from khantui.render.text import visible

    counts = view.progress
    told = [f"{counts[state]} {state}" for state in ("succeeded", "failed", "cancelled", "running") if counts[state]]
    told += [f"{counts['skipped']} good already"] if counts["skipped"] else []
    yield f"backfill {view.id} of {visible(view.pipeline)}  {label(view.state, session.colour)}"
    yield f"  {progress(counts, colour=session.colour, columns=30)}  {', '.join(told)}"
    took = span(view.created, view.ended, session.now)
    yield f"  {_range(view)}, {view.order} first, {view.parallel} at once; {took}"
    if view.parameters:
        yield "  " + " ".join(f"{visible(name)}={visible(value)}" for name, value in view.parameters.items())
    if said := backfill_note(view):
        yield f"  {visible(said)}"
    if view.state == "paused":
        yield f"  go on: khantui backfill resume {view.id}"
    if counts["failed"]:
        yield f"  what failed: khantui runs backfill={view.id} state=failed"
        yield "  the same backfill again runs only what is not good yet"


def _range(view: BackfillView | BackfillPreview) -> str:
    from khantui.render.text import visible

    zone = "" if view.zone == "UTC" else f" ({view.zone})"
    return f"from {_local(view, 'start')} to {_local(view, 'end')}{zone}, step {visible(view.step)}"


def _local(view: BackfillView | BackfillPreview, which: str) -> str:
    from khantui.state.when import zone_of

    moment = getattr(view, which).astimezone(zone_of(view.zone))
    return f"{moment:%Y-%m-%d %H:%M}"


def _would(seen: BackfillPreview) -> Iterator[str]:
    """A dry run for people: each logical time with what its run would have, or the run that is good already."""
    from khantui.render.text import visible

    yield f"{seen.total - seen.good} runs of {visible(seen.pipeline)} v{seen.version} {_range(seen)}"
    if seen.good:
        yield f"{seen.good} of {seen.total} logical times are good already and left out; --rerun takes them too"
    for moment in seen.moments:
        words = (
            f"good: {moment.good[-6:]}"
            if moment.good
            else "  ".join(f"{visible(name)}={visible(value)}" for name, value in moment.environment.items())
        )
        yield f"  {moment.logical_time:%a %Y-%m-%d %H:%M %z}  {words}".rstrip()
    if len(seen.moments) < seen.total:
        yield f"  … and {seen.total - len(seen.moments)} more"
