"""What is done to runs, pipelines and schedules: asked about first where it destroys, and then told how it went."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET

from backend.api.wire import RetryRun, RunView
from khantui.render.rows import short
from khantui.screens.ask import Confirm, Trigger

if TYPE_CHECKING:
    from khantui.screens.host import Host


def _named(runs: Sequence[RunView]) -> str:
    return "\n".join(f"{r.pipeline} {short(r.id)} · {r.state}" for r in runs[:10]) + (
        f"\n… and {len(runs) - 10} more" if len(runs) > 10 else ""
    )


async def cancel(host: Host, runs: Sequence[RunView]) -> None:
    """Cancel those that have not ended, after a question."""
    if not host.may_change():
        return
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
    if not host.may_change():
        return
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
    if not host.may_change():
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


async def pause_or_resume(host: Host, name: str) -> None:
    """Pause a schedule, with the reason; or resume it."""
    from khantui.screens.ask import Line

    schedule = host.overview.schedules.get(name)
    if schedule is None or not host.may_change():
        return
    if schedule.paused:
        if await host.ask(lambda c: c.resume(name)) is not None:
            host.notify(f"{name} goes on", markup=False)
        return
    reason = await host.push_screen_wait(Line(f"pause {name}: why?", placeholder="for those who wonder; may be empty"))
    if reason is not None and await host.ask(lambda c: c.pause(name, reason)) is not None:
        host.notify(f"{name} is paused", markup=False)
