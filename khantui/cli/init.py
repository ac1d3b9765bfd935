"""A new pipeline from a template."""

from __future__ import annotations

import re
from pathlib import Path

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, note
from khantui.errors import Failure, Misuse

TEMPLATES = ("python", "shell", "sql", "fan-out")
FOLDER = Path(__file__).parent.parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@command("init", short_help="Write a new pipeline from a template.")
@click.argument("name", required=False)
@click.option(
    "--template", type=click.Choice(TEMPLATES), default="python", show_default=True, help="What to start from."
)
@click.option(
    "--dir", "parent", type=click.Path(path_type=Path), metavar="D", help="The folder to write; NAME by default."
)
@pass_session
def init(session: Session, name: str | None, template: str, parent: Path | None) -> None:
    """Write a new pipeline NAME from a template, into a folder of that name. Nothing is ever overwritten.

    Example: khantui init weekly-learners --template fan-out
    """
    name = name or (parent.resolve().name if parent else f"my-{template}")
    if _NAME.fullmatch(name) is None:
        raise Misuse(
            f"{name!r} is no name for a pipeline",
            "small letters, digits, - and _, a letter first: weekly-learners",
        )
    target = parent or Path(name)
    files = {p.relative_to(FOLDER / template): p for p in sorted((FOLDER / template).rglob("*")) if _belongs(p)}
    there = [str(target / path) for path in files if (target / path).exists()]
    if there:
        raise Failure(f"{there[0]} is there already; nothing was written", "give another name, or another --dir")
    for path, source in files.items():
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text()
        if path.name == "pipeline.json":
            text = text.replace('"name": "template"', f'"name": "{name}"', 1)
        with place.open("x") as file:
            file.write(text)
    written = [str(target / path) for path in files]
    session.show_one({"name": name, "files": written}, lambda w: w["files"], lambda w: str(w["name"]))
    if session.for_people:
        note(f"next: khantui lint {target} · khantui apply {target} · khantui run {name} --wait")


def _belongs(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts
