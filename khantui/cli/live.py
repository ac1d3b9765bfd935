"""Runs drawn live on a terminal."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from khantui.api.stream import watch_run
from khantui.cli.session import Session, wants_colour
from khantui.cli.status import first_error
from khantui.errors import Failure
from khantui.render.rows import run_columns, short, stage_columns
from khantui.render.status import label, progress
from khantui.render.table import table
from khantui.render.text import crop, plain, visible

if TYPE_CHECKING:
    from backend.api.wire import RunView
    from khantui.cli.child import Child
    from khantui.cli.examples import Tour

_REDRAWN = 8  # times a second
_LOOKED = 0.4  # seconds between two questions to the daemon


def _console() -> Console:
    return Console(stderr=True, no_color=not wants_colour(sys.stderr.isatty()), highlight=False, markup=False)


def _ansi(lines: list[str]) -> Text:
    return Text("\n").join(Text.from_ansi(line, no_wrap=True, overflow="crop") for line in lines)


def draw_run(session: Session, run: RunView) -> RunView:
    """Draw a run's stages until it has ended: the run as it is then."""
    newest = [run]
    problem: list[BaseException] = []
    ended = threading.Event()

    def follow() -> None:
        try:
            for view in watch_run(session.client, run.id):
                newest[0] = view
        except BaseException as error:
            problem.append(error)
        finally:
            ended.set()

    threading.Thread(target=follow, daemon=True).start()
    console = _console()
    with Live(console=console, refresh_per_second=_REDRAWN, transient=True, get_renderable=lambda: _picture(
        session, newest[0], console)):  # fmt: skip
        while not ended.wait(0.1):
            pass
    if problem:
        raise problem[0]
    return newest[0]


def _picture(session: Session, run: RunView, console: Console) -> RenderableType:
    colour = wants_colour(sys.stderr.isatty())
    lines = [
        f"{label(run.state, colour)} {visible(run.pipeline)} {short(run.id)}  {progress(run.progress, colour=colour)}"
    ]
    stages = run.stages if isinstance(run.stages, tuple) else ()
    room = max(4, console.height - 4)
    if len(stages) > room:  # what happens now is what one wants to see
        busy = [s for s in stages if s.state in ("running", "retrying", "failed", "queued")]
        stages = tuple((busy or list(stages))[:room])
    lines += table(stages, stage_columns(session.now), space=console.width, colour=colour)
    return _ansi(lines)


def watch_runs(session: Session, tour: Tour | None, child: Child | None) -> int:
    """Draw the newest runs until q or Ctrl-C: the exit code. Raises Failure if the daemon that is ours dies."""
    console = _console()
    looked, picture = 0.0, _ansi(["…"])
    errors = _Errors(session)
    with _keys() as pressed, Live(picture, console=console, auto_refresh=False) as live:
        while "q" not in pressed():
            if child is not None and child.died():
                raise child.obituary()
            if time.monotonic() - looked > _LOOKED:
                if tour is not None:
                    tour.go_on()
                try:
                    picture = _ansi(_runs_lines(session, tour, console, errors))
                except Failure as failure:
                    picture = _ansi([failure.message])
                looked = time.monotonic()
                live.update(picture, refresh=True)
    return 0


def _runs_lines(session: Session, tour: Tour | None, console: Console, errors: _Errors) -> list[str]:
    colour = wants_colour(sys.stderr.isatty())
    found = list(session.client.runs(limit=max(5, console.height - 8), include="stages"))
    if not found:
        return ["nothing has run yet: khantui run PIPELINE, in another terminal", "", "q leave"]
    lines = table(found, run_columns(session.now, colour), space=console.width, colour=colour)
    below = [f"{short(r.id)} {visible(r.pipeline)} │ {said}" for r in found if (said := errors.of(r))]
    below += [f"{short(r.id)} {visible(r.pipeline)} │ {said}" for r in found if (said := _newest_line(session, r))]
    below = below[: max(0, console.height - len(lines) - 4)]
    lines += ["", *(crop(line, console.width - 1) for line in below)] if below else []
    waiting = f" · {len(tour.waiting)} examples wait for others" if tour is not None and tour.waiting else ""
    return [
        *lines,
        "",
        crop(f"q leave{waiting} · in another terminal: {_elsewhere(session, found)}", console.width - 1),
    ]


def _elsewhere(session: Session, runs: list[RunView]) -> str:
    """A command that is worth a look now."""
    failed = next((r for r in runs if r.state == "failed"), None)
    return session.command("khantui runs" if failed is None else f"khantui status {short(failed.id)}")


class _Errors:
    """The first error of each run that has failed, looked up once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[tuple[str, object], str] = {}

    def of(self, run: RunView) -> str:
        """Empty if it has not failed."""
        if run.state != "failed":
            return ""
        key = (run.id, run.ended)
        if key not in self._known:
            stages = run.stages if isinstance(run.stages, tuple) else ()
            failed = next((s for s in stages if s.state == "failed"), None)
            said = f"{visible(failed.name)}: {first_error(self._session, run, failed)}" if failed else run.message
            self._known[key] = said
        return self._known[key]


def _newest_line(session: Session, run: RunView) -> str:
    """What a running stage said last."""
    if run.state != "running":
        return ""
    for stage in run.stages if isinstance(run.stages, tuple) else ():
        if stage.state == "running":
            try:
                page = session.client.log(run.id, stage.name, tail=1)
            except Failure:
                continue
            if page.lines:
                return f"{visible(stage.name)}: {plain(page.lines[-1].text)}"
    return ""


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """What asks for the key pressed since last asked, waiting a little for one; Ctrl-C stays what it is."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)

    def pressed() -> str:
        ready, _, _ = select.select([sys.stdin], [], [], 0.1)
        return os.read(sys.stdin.fileno(), 16).decode(errors="replace") if ready else ""

    try:
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
