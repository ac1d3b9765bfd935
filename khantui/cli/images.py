"""Which images stages can name, what they hold, and making more of them known."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, group, pass_session
from khantui.cli.complete import image_names
from khantui.cli.session import Session
from khantui.errors import Misuse

if TYPE_CHECKING:
    from backend.api.wire import ImageView

_SUFFIXES = {"python": ".py", "Rscript": ".R", "bash": ".sh", "sh": ".sh", "node": ".js", "duckdb": ".sql"}


@group("images", short_help="List the images that stages can name, or register more.")
@click.pass_context
@pass_session
def images(session: Session, ctx: click.Context) -> None:
    """List the images that stages can name, what they hold, and which of them work here.

    \b
    Example: khantui images
             khantui images -o json
    """
    if ctx.invoked_subcommand is not None:
        return
    from khantui.render.rows import image_columns

    session.show(session.client.images(), image_columns(), lambda i: i.name)


@command("show", short_help="Show an image.")
@click.argument("name", shell_complete=image_names)
@pass_session
def show_image(session: Session, name: str) -> None:
    """Show all that is known of the image NAME.

    Example: khantui images show python
    """
    session.show_one(session.client.image(name), _lines, lambda i: i.name)


@command("add", short_help="Register an image.")
@click.argument("name", shell_complete=image_names)
@click.option("--image", "container", default="", metavar="REF", help="The container image that Kubernetes runs.")
@click.option(
    "--interpreter", default="sh -eu", show_default=True, metavar="COMMAND", help="What a stage's script is handed to."
)
@click.option("--suffix", metavar=".EXT", help="The ending of a script's file; by default the interpreter's usual one.")
@click.option(
    "--tool", "tools", multiple=True, metavar="PROGRAM",
    help="A program of the daemon's machine that stands for it in the sandbox. The first that is there of several.",
)  # fmt: skip
@click.option("--holds", multiple=True, metavar="NAME=VERSION", help="What is in it. May be repeated.")
@click.option("--description", default="", metavar="TEXT", help="What it is for, in a line.")
@pass_session
def add(
    session: Session,
    name: str,
    container: str,
    interpreter: str,
    suffix: str | None,
    tools: tuple[str, ...],
    holds: tuple[str, ...],
    description: str,
) -> None:
    """Make an image known by NAME, or change what NAME stands for. It takes an administrator.

    \b
    Example: khantui images add dbt --image ghcr.io/example/dbt:1.9 \\
               --interpreter 'bash -eu' --description 'dbt with our profiles'
    """
    from backend.api.wire import PutImage
    from khantui.cli.run import pairs

    if not container and not tools:
        raise click.UsageError("say what runs it: --image REF for Kubernetes, --tool PROGRAM for the sandbox, or both")
    try:
        words = tuple(shlex.split(interpreter))
    except ValueError as error:
        raise Misuse(f"--interpreter {interpreter!r}: {error}") from None
    if not words:
        raise click.UsageError("--interpreter must name a program")
    if suffix is None:
        suffix = next((known for program, known in _SUFFIXES.items() if words[0].startswith(program)), "")
    body = PutImage(
        container=container,
        interpreter=words,
        suffix=suffix,
        tools=tools,
        holds=pairs(holds, "--holds"),
        description=description,
    )
    session.show_one(session.client.put_image(name, body), _lines, lambda i: i.name)


@command("remove", short_help="Forget a registered image.")
@click.argument("name", shell_complete=image_names)
@pass_session
def remove(session: Session, name: str) -> None:
    """Forget the image NAME; stages that name it cannot run any more. It takes an administrator.

    An image that comes along with Khantui, and whose name another was registered under, is itself again.

    Example: khantui images remove dbt
    """
    session.client.delete_image(name)
    session.show_one(
        {"name": name, "outcome": "removed"}, lambda d: [f"the image {name} is removed"], lambda d: d["name"]
    )


for each in (show_image, add, remove):
    images.add_command(each)


def _lines(view: ImageView) -> Iterator[str]:
    """Everything about an image, for people."""
    from khantui.render.moments import size, stamp
    from khantui.render.text import visible

    facts = [
        ("image", view.name),
        ("description", view.description),
        ("here", "it can run" if view.available else f"it cannot run: {view.reason}"),
        ("executors", ", ".join(view.executors)),
        ("scripts go to", shlex.join(view.interpreter)),
        ("container", view.container),
        ("digest", view.digest),
        ("size", size(view.size) if view.size is not None else ""),
        ("host's programs", " or ".join(view.tools)),
        ("holds", ", ".join(f"{what} {version}" for what, version in view.holds.items())),
        ("registered", f"{stamp(view.registered)} by {view.registered_by}" if view.registered else ""),
    ]
    for label, value in facts:
        if value:
            yield f"{label:<16}{visible(value)}"
