"""What is done to runs, pipelines and schedules: asked about first where it destroys, and then told how it went."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET

from backend.api.wire import RetryRun, RunView, ScheduleView
from khantui.errors import Failure
from khantui.render.rows import short
from khantui.screens.ask import Confirm, Pause, Trigger
from khantui.state.timing import Timing, free_name

if TYPE_CHECKING:
    from khantui.api.client import Client
    from khantui.render.against import Parting
    from khantui.screens.host import Host


_FIRINGS = 20  # that are told of a schedule


def _named(runs: Sequence[RunView]) -> str:
    return "\n".join(f"{r.pipeline} {short(r.id)} · {r.state}" for r in runs[:10]) + (
        f"\n… and {len(runs) - 10} more" if len(runs) > 10 else ""
    )


async def cancel(host: Host, runs: Sequence[RunView]) -> None:
    """Cancel those that have not ended, after a question."""
    going = [r for r in runs if r.ended is None]
    if not going:
        host.notify("there is nothing to cancel: it has ended", markup=False)
        return
    what = f"{going[0].pipeline} {short(going[0].id)}" if len(going) == 1 else f"{len(going)} runs"
    if await host.push_screen_wait(Confirm(f"Cancel {what}?", _named(going), yes="cancel it")):
        done = sum([await host.ask(lambda c, r=r: c.cancel(r.id)) is not None for r in going])  # type: ignore[misc]
        host.notify(f"{done} asked to end", markup=False)


async def retry(host: Host, runs: Sequence[RunView], body: RetryRun | None = None) -> None:
    """Run again what failed, in the version that it had."""
    failed = [r for r in runs if r.ended is not None and (r.state != "succeeded" or body is not None)]
    if not failed:
        host.notify("there is nothing to retry: nothing in it has failed", markup=False)
        return
    if len(failed) > 1 and not await host.push_screen_wait(
        Confirm(f"Retry what failed in {len(failed)} runs?", _named(failed), yes="retry them")
    ):
        return
    asked = body or RetryRun()
    done = sum([await host.ask(lambda c, r=r: c.retry(r.id, asked)) is not None for r in failed])  # type: ignore[misc]
    if done:
        what = f"everything from {asked.from_stage} on" if asked.from_stage else "what failed"
        host.notify(f"{what} runs again{f' in {done} runs' if done > 1 else ''}", markup=False)


async def trigger(host: Host, pipeline: str) -> RunView | None:
    """Start a run, after asking for parameters and the date."""
    if not host.allows("trigger", pipeline):  # it is also a command
        return None
    view = await host.ask(lambda c: c.pipeline(pipeline))
    version = await host.ask(lambda c: c.version(pipeline, view.version)) if view is not None else None
    if view is None or version is None:
        return None
    declared = json.loads(version.document).get("parameters", {}) if version.document is not UNSET else {}
    said = f"v{view.version}: {view.stages} stages, up to {view.width} at once"
    took = [(r.ended - r.started).total_seconds() for r in view.last if r.started and r.ended]
    if took:
        said += f"; took {sum(took) / len(took):.0f} s of late"
    readers = await _readers(host, pipeline)
    if readers:
        said += f"\nstarted after it: {', '.join(readers)}"
    body = await host.push_screen_wait(Trigger(pipeline, declared, said))
    if body is None:
        return None
    started = await host.ask(lambda c: c.start_run(pipeline, body))
    if started is not None:
        host.notify(f"{pipeline} {short(started.id)} is started", markup=False)
    return started


async def _readers(host: Host, pipeline: str) -> list[str]:
    return [s.pipeline for s in host.overview.schedules.values() if pipeline in s.after]


async def pause_or_resume(host: Host, names: Sequence[str]) -> bool:
    """Pause schedules, with one reason for all; or resume those that are paused. Whether anything was done."""
    found = [s for name in names if (s := host.overview.schedules.get(name)) is not None]
    paused = [s.name for s in found if s.paused]
    active = [s.name for s in found if not s.paused]
    if not found:
        return False
    if paused and not active:
        done = [name for name in paused if await host.ask(lambda c, n=name: c.resume(n)) is not None]  # type: ignore[misc]
        if done:
            host.notify(f"{_some(done)} go{'es' * (len(done) == 1)} on", markup=False)
        return bool(done)
    zones = {s.zone for s in found}
    said = await host.push_screen_wait(Pause(f"pause {_some(active)}", zones.pop() if len(zones) == 1 else "UTC"))
    if said is None:
        return False
    done = [name for name in active if await host.ask(lambda c, n=name: c.pause(n, *said)) is not None]  # type: ignore[misc]
    if done:
        host.notify(f"{_some(done)} {'is' if len(done) == 1 else 'are'} paused", markup=False)
    return bool(done)


def _some(names: Sequence[str], word: str = "schedules") -> str:
    return names[0] if len(names) == 1 else f"{len(names)} {word}"


async def run_now(host: Host, schedule: ScheduleView) -> RunView | None:
    """Start a run as a schedule would, after a question."""
    given = "\n".join(f"{name} = {value}" for name, value in schedule.parameters.items())
    question = f"Run {schedule.pipeline} now, as {schedule.name} would?"
    if not await host.push_screen_wait(Confirm(question, given, yes="run it", harmless=True)):
        return None
    started = await host.ask(lambda c: c.run_schedule(schedule.name))
    if started is not None:
        host.notify(f"{schedule.pipeline} {short(started.id)} is started", markup=False)
    return started


async def describe_schedule(host: Host, schedule: ScheduleView) -> None:
    """Show all about a schedule: what it was told, how it is, and what it will do."""
    from khantui.render.schedules import describe_schedule as described
    from khantui.screens.text import TextPage

    seen = await host.ask(lambda c: c.foresight(schedule.name, _FIRINGS))
    if seen is not None:
        lines = [list(line) for line in described(schedule, seen, host.moment)]
        host.push_screen(TextPage(f"schedule {schedule.name}", lines))


async def delete_each(
    host: Host,
    verb: str,
    what: str,
    lost: str,
    names: Sequence[str],
    delete: Callable[[Client, str], None],
    *,
    said: Sequence[str] = (),
) -> list[str] | None:
    """`verb` (delete, remove, …) things, after a question that says what is lost: those that are gone; None: no.

    `said` is what is to be known of each; their names if it is left out.
    """
    details = "\n".join(filter(None, (lost, *(said or names)[:10])))
    if not await host.push_screen_wait(Confirm(f"{verb.capitalize()} {what}?", details, yes=verb)):
        return None
    return [name for name in names if await host.done(lambda c, n=name: delete(c, n))]  # type: ignore[misc]


async def delete_schedules(host: Host, names: Sequence[str]) -> bool:
    """Delete schedules, after a question. Whether anything was deleted."""
    if not names:
        return False
    what = "the schedule " * (len(names) == 1) + _some(names)
    lost = "runs that they have started go on"
    gone = await delete_each(host, "delete", what, lost, names, lambda c, name: c.delete_schedule(name))
    if gone:
        host.notify(f"{_some(gone)} {'is' if len(gone) == 1 else 'are'} deleted", markup=False)
    return bool(gone)


def new_schedule(host: Host, pipeline: str = "") -> None:
    """Ask when a pipeline is to run, with a form."""
    from khantui.screens.timing import ScheduleForm

    names = sorted(host.overview.pipelines)
    if not names:
        host.notify("there is no pipeline yet that a schedule could start: :new makes one", markup=False)
        return
    chosen = pipeline if pipeline in names else names[0]
    host.push_screen(ScheduleForm(Timing(free_name(chosen, host.overview.schedules), chosen)))


def edit_schedule(host: Host, name: str) -> None:
    """Change a schedule, with its firings before and after side by side."""
    from khantui.screens.timing import ScheduleForm

    schedule = host.overview.schedules.get(name)
    if schedule is None:
        host.notify(f"there is no schedule {name!r} (any more)", severity="warning", markup=False)
    else:
        host.push_screen(ScheduleForm(Timing.of(schedule), schedule))


_COMPARED = 1000  # lines of each log


async def compare_with_last_good(host: Host, run: RunView) -> None:
    """Show what is different about a run, against the last one before it that succeeded."""
    from khantui.render.against import against
    from khantui.screens.text import TextPage

    try:
        found = await host.link.ask(lambda c: _with_last_good(c, run))
    except Failure as failure:
        host.say(failure)
        return
    if found is None:
        host.notify(f"no run of {run.pipeline} before this one has succeeded", markup=False)
        return
    title = f"{run.pipeline} {short(run.id)} against {short(found[1].id)}, the last good one"
    host.push_screen(TextPage(title, against(*found)))


def _with_last_good(client: Client, run: RunView) -> tuple[RunView, RunView, tuple[str, ...], Parting | None] | None:
    """The run and the last good one in full, what differs in the document, and where the logs part. Raises Failure."""
    from khantui.render.against import parting

    before = (r for r in client.runs(pipeline=run.pipeline, state="succeeded") if r.id < run.id)
    last = next(before, None)
    if last is None:
        return None
    now, good = client.run(run.id), client.run(last.id)
    diff = client.diff(run.pipeline, good.version, now.version).lines if good.version != now.version else ()
    stages = now.stages if isinstance(now.stages, tuple) else ()
    failed = next((s for s in stages if s.state == "failed" and s.attempts), None)
    known = {s.name for s in good.stages if s.attempts} if isinstance(good.stages, tuple) else set()
    if failed is None or failed.name not in known:
        return now, good, diff, None
    try:
        one, other = ([line.text for line in client.log(r.id, failed.name, limit=_COMPARED).lines] for r in (now, good))
    except Failure:  # logs are kept for a time only
        return now, good, diff, None
    return now, good, diff, parting(failed.name, one, other)
