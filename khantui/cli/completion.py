"""Completion for shells."""

from __future__ import annotations

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session
from khantui.errors import Failure

_HOW = {
    "bash": 'eval "$(khantui completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(khantui completion zsh)"   # in ~/.zshrc, after compinit',
    "fish": "khantui completion fish > ~/.config/fish/completions/khantui.fish",
}


@command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(list(_HOW)))
@pass_session
def completion(session: Session, shell: str) -> None:
    """Print the script that has SHELL complete commands, pipelines, runs and stages.

    Example: eval "$(khantui completion bash)"
    """
    from click.shell_completion import get_completion_class

    from khantui.cli.root import khantui

    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"{shell} cannot be completed")
    # bash's own `source` would start bash to ask for its version; the script's text needs no such thing
    made = kind(khantui, {}, "khantui", "_KHANTUI_COMPLETE")
    script = made.source_template % made.source_vars()
    if session.for_people:
        click.echo(f"# {_HOW[shell]}")
        click.echo(script)
    else:
        session.show_one({"shell": shell, "script": script}, lambda s: [s["script"]], lambda s: s["shell"])
