"""The command `khantui` itself: its sub-commands, by name, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

import click

from khantui.cli.session import OUTPUTS, Session
from khantui.errors import Failure

# name -> (module below khantui.cli, one line of help). A test compares the help with the command's own.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up", "Start the daemon here: etcd, API, and what runs stages."),
    "init": ("init", "Write a new pipeline from a template."),
    "web": ("web", "Serve the terminal interface to a browser."),
    "context": ("context", "Name daemons, and say which one is meant."),
    "lint": ("lint", "Check pipeline documents, without a daemon."),
    "schema": ("lint", "Print the JSON Schema of pipeline documents."),
    "apply": ("apply", "Store pipelines, with their code, as new versions."),
    "pipelines": ("pipelines", "List the pipelines."),
    "show": ("pipelines", "Show a pipeline: its stages, schedules and newest runs."),
    "history": ("pipelines", "List the versions of a pipeline."),
    "diff": ("versions", "Show what two versions of a pipeline differ in."),
    "rollback": ("versions", "Make an old version of a pipeline the current one again."),
    "delete": ("versions", "Delete a pipeline."),
    "run": ("run", "Start a run of a pipeline."),
    "runs": ("runs", "List runs, newest first."),
    "status": ("status", "Show a run: its stages, what waits for what, and why it failed."),
    "why": ("why", "Say why stages ran, did not run, or were reused."),
    "cancel": ("control", "Cancel runs."),
    "retry": ("control", "Run again what failed, or everything from a stage on."),
    "cache": ("cache", "List or forget results that may stand for later ones."),
    "logs": ("logs", "Print the logs of a run, or search those of a pipeline."),
    "artifacts": ("artifacts", "List what a run read and wrote, print it or fetch it."),
    "schedules": ("schedules", "List the schedules."),
    "schedule": ("schedules", "Say when a pipeline runs."),
    "calendars": ("calendars", "List the calendars: days on which schedules stand still."),
    "calendar": ("calendars", "Make, change, show or delete a calendar."),
    "pause": ("schedules", "Pause schedules."),
    "resume": ("schedules", "Resume schedules."),
    "backfills": ("backfills", "List the backfills, newest first."),
    "backfill": ("backfills", "Run a pipeline for all logical times of a range."),
    "preview": ("preview", "Show the next firings of a schedule."),
    "forecast": ("forecast", "Show what all schedules will start, and when it is too much."),
    "import": ("import_", "Turn a crontab into pipelines and schedules."),
    "export": ("export", "Write the schedules for cron or for Kubernetes."),
    "events": ("events", "Follow what happens, one JSON object a line."),
    "auth": ("auth", "Say who may do what, and why; give roles and make tokens."),
    "audit": ("audit", "List who did what, when, from where and why; and who was kept from it."),
    "images": ("images", "List the images that stages can name, or register more."),
    "accounts": ("accounts", "List the service accounts, or say what they may reach."),
    "secrets": ("secrets", "List the secrets, give them values, or rotate them."),
    "channels": ("channels", "List where notifications go, add more, or test one."),
    "doctor": ("doctor", "Say what this machine or a cluster lacks, and what to do about it."),
    "daemon": ("daemon", "Look at the daemon; save and restore its state."),
    "completion": ("completion", "Print the completion script of a shell."),
    "version": ("version", "Print the version."),
}


class Root(click.Group):
    """A group whose commands are imported when they are called, and whose errors are a line or two."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which somebody new would need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"khantui.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command meant; for a word that is none, the nearest ones are named."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=2)
            hint = f": did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run, and leave with the exit code of the contract. Tracebacks only with KHANTUI_DEBUG=1."""
        extra["standalone_mode"] = False
        try:
            result = super().main(args=args, prog_name=prog_name, **extra)
            sys.stdout.flush()
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            if os.environ.get("KHANTUI_DEBUG") == "1":
                raise
            sys.exit(_report(error))
        sys.exit(result if isinstance(result, int) else 0)


def _report(error: Exception) -> int:
    """Say what went wrong, and return the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return 2
    if isinstance(error, click.Abort):
        return 130
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "khantui"
        _say(error.format_message(), f"see `{command} --help`")
        return 2
    if isinstance(error, click.ClickException):
        _say(error.format_message(), "")
        return 2
    if isinstance(error, Failure):
        _say(error.message, error.hint)
        return error.exit_code
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        _say(f"{named}{error.strerror or error}", "")
        return 1
    _say(f"unexpected {type(error).__name__}: {error}", "set KHANTUI_DEBUG=1 to see where")
    return 1


def _say(message: str, hint: str) -> None:
    from khantui.render.text import visible

    for number, line in enumerate(message.splitlines() or [""]):
        click.echo(("khantui: " if not number else "") + visible(line), err=True)
    if hint:
        click.echo(f"  → {visible(hint)}", err=True)


@click.group(cls=Root, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--address", metavar="URL", help="Where the daemon is: unix:///path or http://127.0.0.1:N.")
@click.option("--data", metavar="DIR", help="The daemon's data folder.")
@click.option("-o", "--output", type=click.Choice(OUTPUTS), help="What to print.")
@click.option("--message", metavar="TEXT", help="Why this is done, for the journal (KHANTUI_MESSAGE).")
@click.option("--read-only", is_flag=True, help="Change nothing from the terminal interface.")
@click.version_option(None, "-V", "--version", package_name="khantui", message="khantui %(version)s")
@click.pass_context
def khantui(
    ctx: click.Context,
    address: str | None,
    data: str | None,
    output: str | None,
    message: str | None,
    read_only: bool,
) -> None:
    """One place where data pipelines live, run, are scheduled and are debugged."""
    ctx.obj = session = Session(address=address, data=data, output=output, message=message)
    ctx.call_on_close(session.close)
    if ctx.invoked_subcommand is None:
        from khantui.cli.home import show_home

        show_home(ctx, session, read_only=read_only)
