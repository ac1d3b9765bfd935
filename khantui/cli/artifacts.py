"""What a run read and wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.complete import run_names
from khantui.cli.session import Session, note
from khantui.errors import Failure, Misuse

if TYPE_CHECKING:
    from backend.api.wire import ArtifactView, RunView


@command("artifacts", short_help="List what a run read and wrote, print it or fetch it.")
@click.argument("named", metavar="RUN", shell_complete=run_names)
@click.argument("name", required=False)
@click.option("--to", "target", type=click.Path(path_type=Path), metavar="PATH", help="Where to put it.")
@pass_session
def artifacts(session: Session, named: str, name: str | None, target: Path | None) -> None:
    """List the artifacts of RUN; or print the file NAME, or put the file or folder at --to PATH.

    NAME may be one instance's entry (report/2025). Example: khantui artifacts 7f3k2a report --to report.html
    """
    if name is None and target is not None:
        raise click.UsageError("--to needs the NAME of an artifact")
    run = session.client.find_run(named)
    found = session.client.artifacts(run.id)
    if name is None:
        _list(session, found)
        return
    chosen = choose(found, run, name)
    if not session.for_people and target is None:
        _list(session, chosen)
    elif target is None:
        _print(session, run, chosen)
    else:
        for artifact in chosen:
            place = target / artifact.entry if len(chosen) > 1 else target
            _fetch(session, run, artifact, place)
            note(f"{artifact.name}{'/' + artifact.entry if artifact.entry else ''} → {place}")


def _list(session: Session, found: list[ArtifactView]) -> None:
    from khantui.render.rows import artifact_columns, artifact_name

    session.show(found, artifact_columns(), artifact_name, empty="no artifacts yet")


def choose(found: list[ArtifactView], run: RunView, name: str) -> list[ArtifactView]:
    """The artifact of that name, all its entries, or one of them (`report/2025`). Raises Failure."""
    from khantui.render.rows import artifact_name

    chosen = [a for a in found if name in (a.name, artifact_name(a))]
    if not chosen:
        known = ", ".join(dict.fromkeys(artifact_name(a) for a in found)) or "none yet"
        raise Failure(f"run {run.id[-6:]} of {run.pipeline} has no artifact {name!r}", f"it has: {known}")
    return chosen


def _print(session: Session, run: RunView, chosen: list[ArtifactView]) -> None:
    """A file's content to stdout, safely where that is a terminal."""
    from khantui.render.text import colours_only

    if len(chosen) > 1 or chosen[0].record.kind == "folder":
        if session.output is None and len(chosen) == 1:
            raise Misuse(f"{chosen[0].name} is a folder", "say where to put it: --to PATH")
        entries = ", ".join(f"{a.name}/{a.entry}" for a in chosen)
        raise Misuse(f"{chosen[0].name} has several parts: {entries}", "name one, or say where to put all: --to PATH")
    content = session.client.artifact(run.id, chosen[0])
    if not sys.stdout.isatty():
        for part in content:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    raw = b"".join(content)
    if b"\0" in raw[:8192]:
        raise Misuse(f"{chosen[0].name} is not text", "say where to put it: --to PATH")
    for line in raw.decode(errors="replace").splitlines():
        click.echo(colours_only(line), color=session.colour)


def _fetch(session: Session, run: RunView, artifact: ArtifactView, target: Path) -> None:
    """Put an artifact at `target`: complete or not at all, and never over something that is there."""
    from khantui.api.download import save_file, save_folder

    if artifact.record.kind == "folder":
        save_folder(session.client.artifact(run.id, artifact), target)
        return
    if target.is_dir():
        target = target / (artifact.entry or artifact.name)
    save_file(session.client.artifact(run.id, artifact), target)
