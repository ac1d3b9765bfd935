"""A run drawn live on a terminal."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from khantui.api.stream import watch_run
from khantui.cli.session import Session, wants_colour
from khantui.render.rows import short, stage_columns
from khantui.render.status import label, progress
from khantui.render.table import table
from khantui.render.text import visible

if TYPE_CHECKING:
    from backend.api.wire import RunView

_REDRAWN = 8  # times a second


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
