"""The command palette: whatever can be gone to or done from here, found by a few of its letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from khantui.render.moments import ago
from khantui.render.rows import short
from khantui.render.status import symbol
from khantui.render.text import visible
from khantui.screens.view import View

if TYPE_CHECKING:
    from khantui.app import KhantuiApp

PLACES = {
    "runs": "what ran, newest first",
    "runs state=failed": "what failed",
    "pipelines": "what there is, and how it went of late",
    "schedules": "what starts runs, and when next",
    "pulse": "what matters now",
    "forecast": "what all schedules will do",
    "backfills": "runs for times that have passed",
    "channels": "where notifications go, and a test of them",
    "access": "who may do what",
    "tokens": "tokens of machines",
    "accounts": "what stages may reach: service accounts",
    "secrets": "secrets, and who was given which",
    "audit": "who did what, and who was kept from it",
    "new": "write a pipeline",
    "ctx": "the daemons that have a name",
    "readonly": "change nothing from here",
    "help": "the keys of this screen",
    "quit": "leave",
}
_PIPELINE = {
    "pipeline": "graph and document",
    "runs": "its runs",
    "grid": "runs and stages",
    "trigger": "start it",
    "schedules": "what starts it by itself",
    "backfill": "run it for times that have passed",
    "edit": "change it",
}


class Entry(NamedTuple):
    """A line of the palette."""

    text: str
    help: str
    act: Callable[[], Any]


class Everything(Provider):
    """The keys of the screen, the places, the pipelines, their newest runs, the schedules, the themes."""

    async def discover(self) -> Hits:
        """What stands there before anything is typed."""
        for entry in (*self._keys(), *self._places()):
            yield DiscoveryHit(_line(Content(entry.text), entry.help), entry.act, entry.text)

    async def search(self, query: str) -> Hits:
        """What matches, best first."""
        matcher = self.matcher(query)
        for entry in self.entries():
            score = matcher.match(entry.text)
            if score > 0:
                yield Hit(score, _line(matcher.highlight(entry.text), entry.help), entry.act, entry.text)

    def entries(self) -> Iterator[Entry]:
        """All lines."""
        yield from self._keys()
        yield from self._places()
        yield from self._pipelines()
        yield from self._schedules()
        for theme in sorted(self._app.available_themes):
            yield self._going(f"theme {theme}", "colours")

    @property
    def _app(self) -> KhantuiApp:
        return cast("KhantuiApp", self.app)

    def _going(self, command: str, help: str, text: str = "") -> Entry:
        return Entry(visible(text or command), visible(help), partial(self._app.go, command))

    def _keys(self) -> Iterator[Entry]:
        if isinstance(self.screen, View):
            for key in self.screen.keys():  # noqa: SIM118  not a mapping
                if key.group == 0:
                    help = " ".join(key.keys) + (f" · {key.refused}" if key.refused else "")
                    act = partial(self._app.run_action, key.action, key.node)
                    yield Entry(visible(key.what), visible(help), act)

    def _places(self) -> Iterator[Entry]:
        for command, help in PLACES.items():
            yield self._going(command, help)

    def _pipelines(self) -> Iterator[Entry]:
        now = self._app.moment
        for name, pipeline in self._app.overview.pipelines.items():
            for word, help in _PIPELINE.items():
                command = f"{word} pipeline={name}" if word in ("runs", "schedules") else f"{word} {name}"
                yield self._going(command, help, f"{word} {name}")
            for run in pipeline.last:
                said = f"{symbol(run.state)} {run.state} {ago(run.started or run.created, now)} {run.message}"
                yield self._going(f"run {run.id}", said, f"run {name} {short(run.id)}")

    def _schedules(self) -> Iterator[Entry]:
        for name, schedule in self._app.overview.schedules.items():
            yield self._going(f"schedule {name}", f"of {schedule.pipeline}: {schedule.when}")


def _line(text: Content, help: str) -> Content:
    """Both on one line, so that twice as many are seen."""
    return Content.assemble(text, ("  " + help, "dim"))
