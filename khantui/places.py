"""Where commands lead. A screen is imported when it is first gone to: the interface has to be there at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.screen import Screen

from khantui.api.contexts import load
from khantui.errors import Failure
from khantui.screens.view import View

if TYPE_CHECKING:
    from khantui.app import KhantuiApp

Open = Callable[["KhantuiApp", str, str], "Screen[None] | None"]


def _runs(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.runs import Runs

    return Runs(command, rest)


def _run(app: KhantuiApp, command: str, rest: str) -> Screen[None] | None:
    if not rest:
        app.notify("which run? its id, the end of it, or a pipeline for its newest", severity="warning", markup=False)
        return None
    from khantui.screens.run import RunScreen

    return RunScreen(command, rest)


def _log(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    named, _, stages = rest.partition(" ")
    from khantui.screens.run import LogPlace, RunScreen

    words = stages.split()
    every = words == ["*"]
    places = [] if every else [LogPlace.parse(word) for word in words]
    return RunScreen(command, named, at_log=True, at=places, merged=every)


def _search(app: KhantuiApp, command: str, rest: str) -> Screen[None] | None:
    named, _, expression = rest.partition(" ")
    if not named:
        app.notify("search the logs of which pipeline?", severity="warning", markup=False)
        return None
    from khantui.screens.log_search import LogSearch

    return LogSearch(command, named, expression.strip())


def _describe(app: KhantuiApp, command: str, rest: str) -> None:
    app.describe(rest, why=False)


def _why(app: KhantuiApp, command: str, rest: str) -> None:
    app.describe(rest, why=True)


def _artifacts(app: KhantuiApp, command: str, rest: str) -> Screen[None] | None:
    if not rest:
        app.notify("artifacts of which run?", severity="warning", markup=False)
        return None
    from khantui.screens.artifacts import Artifacts

    return Artifacts(command, rest)


def _pipeline(app: KhantuiApp, command: str, rest: str) -> Screen[None] | None:
    if not rest:
        app.notify("which pipeline?", severity="warning", markup=False)
        return None
    from khantui.screens.pipeline import PipelineScreen

    return PipelineScreen(command, rest)


def _pipelines(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.pipelines import Pipelines

    return Pipelines(command, rest)


def _schedules(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.schedules import Schedules

    return Schedules(command, rest)


def _schedule(app: KhantuiApp, command: str, rest: str) -> None:
    from khantui.screens import acts

    if rest in app.overview.schedules:
        if app.allows("edit_schedule", app.overview.schedules[rest].pipeline):
            acts.edit_schedule(app, rest)
    elif not rest or rest in app.overview.pipelines:
        if app.allows("new_schedule", rest):
            acts.new_schedule(app, rest)
    else:
        app.notify(f"there is no schedule and no pipeline {rest!r}", severity="warning", markup=False)


def _backfills(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.backfills import Backfills

    return Backfills(command, rest)


def _backfill(app: KhantuiApp, command: str, rest: str) -> None:
    app.start_backfill(rest)


def _access(app: KhantuiApp, command: str, rest: str) -> Screen[None] | None:
    if app.who is not None and "list_bindings" in app.who.refused:  # then at least what is one's own
        from khantui.render.access import who_lines
        from khantui.screens.text import TextPage

        app.push_screen(TextPage("what you may do here", "\n".join(who_lines(app.who))))
        return None
    from khantui.screens.access import Access

    return Access(command, rest)


def _tokens(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.access import Tokens

    return Tokens(command, rest)


def _accounts(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.accounts import Accounts

    return Accounts(command, rest)


def _secrets(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.secrets import Secrets

    return Secrets(command, rest)


def _audit(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.audit import Audit

    return Audit(command, rest)


def _channels(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.channels import Channels

    return Channels(command, rest)


def _forecast(app: KhantuiApp, command: str, rest: str) -> Screen[None] | None:
    from datetime import UTC, datetime

    from khantui.screens.forecast import Forecast

    try:
        since = datetime.fromisoformat(rest) if rest else None
    except ValueError:
        app.notify(f"from when? {rest!r} is no time: 2026-11-23T06:00", severity="warning", markup=False)
        return None
    return Forecast(command, since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since)


def _pulse(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.pulse import Pulse

    return Pulse(command)


def _grid(app: KhantuiApp, command: str, rest: str) -> Screen[None] | None:
    if not rest:
        app.notify("the grid of which pipeline?", severity="warning", markup=False)
        return None
    from khantui.screens.grid import GridScreen

    return GridScreen(command, rest)


def _trigger(app: KhantuiApp, command: str, rest: str) -> None:
    app.start_pipeline(rest)


def _edit(app: KhantuiApp, command: str, rest: str) -> Screen[None] | None:
    if not rest:
        app.notify("edit which pipeline?", severity="warning", markup=False)
        return None
    from khantui.screens.editor import Editor

    return Editor(command, rest)


def _new(app: KhantuiApp, command: str, rest: str) -> Screen[None]:
    from khantui.screens.editor import Editor

    return Editor(command, rest or "my-pipeline", new=True)


def _context(app: KhantuiApp, command: str, rest: str) -> None:
    try:
        known = load()
        if rest:
            app.switch(rest, known.get(rest))
            return
    except Failure as failure:
        app.say(failure)
        return
    names = ", ".join(f"{'▶ ' * (name == app.context)}{name}" for name in sorted(known.contexts))
    app.notify(names or "there is none: khantui context add NAME ADDRESS", title="contexts", markup=False)


def _theme(app: KhantuiApp, command: str, rest: str) -> None:
    found = [name for name in app.available_themes if name == rest or name == f"khantui-{rest}"]
    if found:
        app.theme = found[0]
    else:
        app.notify(f"themes: {', '.join(sorted(app.available_themes))}", markup=False)


def _read_only(app: KhantuiApp, command: str, rest: str) -> None:
    app.read_only = rest != "off"
    app.tell_screens()
    app.screen.refresh_bindings()


def _quit(app: KhantuiApp, command: str, rest: str) -> None:
    app.exit(0)


def _help(app: KhantuiApp, command: str, rest: str) -> None:
    if isinstance(app.screen, View):
        app.screen.action_help()


COMMANDS: dict[str, Open] = {
    "runs": _runs,
    "pipelines": _pipelines,
    "pipeline": _pipeline,
    "schedules": _schedules,
    "schedule": _schedule,
    "forecast": _forecast,
    "pulse": _pulse,
    "grid": _grid,
    "run": _run,
    "log": _log,
    "search": _search,
    "artifacts": _artifacts,
    "describe": _describe,
    "why": _why,
    "trigger": _trigger,
    "edit": _edit,
    "new": _new,
    "ctx": _context,
    "theme": _theme,
    "readonly": _read_only,
    "help": _help,
    "quit": _quit,
    "backfills": _backfills,
    "backfill": _backfill,
    "channels": _channels,
    "access": _access,
    "audit": _audit,
    "tokens": _tokens,
    "accounts": _accounts,
    "secrets": _secrets,
}
