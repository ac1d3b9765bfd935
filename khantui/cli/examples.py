"""The examples that come with the program: applied, run once each, and reported."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from khantui.cli.documents import Document, find, in_order, references
from khantui.cli.session import Session, note
from khantui.cli.status import first_error
from khantui.errors import Failure
from khantui.render.moments import span
from khantui.render.status import label
from khantui.render.text import visible

if TYPE_CHECKING:
    from backend.api.wire import RunView
    from khantui.cli.child import Child

EXAMPLES = Path(__file__).parent.parent / "examples"
_LOOKED = 0.3  # seconds between two questions to the daemon


@dataclass
class Tour:
    """One run of each example. One that reads another's output starts when that other has ended."""

    session: Session
    waiting: list[Document]
    runs: dict[str, RunView] = field(default_factory=dict)  # by pipeline
    refused: dict[str, str] = field(default_factory=dict)  # pipeline -> why it could not be started
    meant_to_fail: set[str] = field(default_factory=set)

    def go_on(self) -> list[RunView]:
        """Look at what runs, and start what waited for it: the runs that have ended since."""
        ended = []
        for name, run in self.runs.items():
            if run.ended is None:
                self.runs[name] = run = self.session.client.run(run.id)
                if run.ended is not None:
                    ended.append(run)
        for document in list(self.waiting):
            if all(self._done(other) for other in references(document)):
                self.waiting.remove(document)
                self._start(document)
        return ended

    def _done(self, name: str) -> bool:
        """Whether nothing is to be waited for of that pipeline."""
        if any(d.name == name for d in self.waiting):
            return False
        return name not in self.runs or self.runs[name].ended is not None

    def _start(self, document: Document) -> None:
        from backend.api.wire import StartRun

        try:
            self.runs[document.name] = self.session.client.start_run(document.name, StartRun())
        except Failure as failure:
            self.refused[document.name] = failure.message

    @property
    def over(self) -> bool:
        """Whether everything has ended."""
        return not self.waiting and all(run.ended is not None for run in self.runs.values())

    def start_all(self) -> None:
        """Start each of them, waiting only for those that others read from."""
        while self.waiting:
            self.go_on()
            if self.waiting:
                time.sleep(_LOOKED)

    def finish(self, child: Child | None) -> int:
        """Wait for all, with a line for each that ends: the exit code. Raises Failure if the daemon dies."""
        told: set[str] = set()
        while not self.over:
            for run in self.go_on():
                self._tell(run)
            for name in self.refused.keys() - told:
                told.add(name)
                note(f"khantui: {name} was not started: {self.refused[name]}")
            if child is not None and child.died():
                raise child.obituary()
            if not self.over:
                time.sleep(_LOOKED)
        again, look = self.session.command("khantui up"), self.session.command("khantui status penguins-mass")
        note(f"see them again: `{again}`, and in another terminal, for one that failed, `{look}`")
        bad = [n for n, r in self.runs.items() if (r.state == "failed") != (n in self.meant_to_fail)]
        return 1 if bad or self.refused else 0

    def _tell(self, run: RunView) -> None:
        colour = self.session.colour
        took = span(run.started or run.created, run.ended, self.session.now)
        parts = [label(run.state, colour), visible(run.pipeline), run.id[-6:], took]
        if outputs := self._outputs(run):
            parts.append(f"outputs: {outputs}")
        if run.state == "failed" and run.pipeline in self.meant_to_fail:
            parts.append("(meant to fail)")
        click.echo("  ".join(parts), color=colour)
        for stage in run.stages if isinstance(run.stages, tuple) else ():
            if stage.state == "failed":
                click.echo(f"    {visible(stage.name)}: {first_error(self.session, run, stage)}")

    def _outputs(self, run: RunView) -> str:
        data = self.session.client.daemon().data
        places = (
            a.record.uri or f"{data}/{a.record.location}" if a.record.uri or a.record.location else a.name
            for a in self.session.client.artifacts(run.id)
            if a.role == "output"
        )
        return ", ".join(visible(place) for place in places)


def apply_examples(session: Session) -> Tour:
    """Apply the examples that can run here, those that others take from first. Raises Failure."""
    from khantui.cli.apply import apply_document

    lacking = {i.name: i.reason for i in session.client.images() if not i.available}
    skipped: set[str] = set()
    applied: list[Document] = []
    for document in in_order(find([str(EXAMPLES)])):
        images = {s.get("image", "") for s in document.value.get("stages", {}).values()}
        if missing := sorted(images & lacking.keys()):
            skipped.add(document.name)
            note(f"example {document.name} is left out: {missing[0]}: {lacking[missing[0]]}")
        elif others := sorted(references(document) & skipped):
            skipped.add(document.name)
            note(f"example {document.name} is left out: it takes from {others[0]}, which is left out")
        else:
            outcome = apply_document(session, document, message="example")
            applied.append(document)
            note(f"example {outcome.name} {outcome.outcome} (v{outcome.version})")
    tour = Tour(session, applied)
    tour.meant_to_fail = {d.name for d in applied if d.value.get("labels", {}).get("expect") == "failed"}
    return tour
