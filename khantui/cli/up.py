"""`khantui up`: a daemon on this machine, and, if wanted, the examples to look at."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, note

if TYPE_CHECKING:
    from khantui.cli.child import Child


@command("up", short_help="Start the daemon here: etcd, API, sandbox executor.")
@click.option("--examples", is_flag=True, help="Apply the example pipelines, and start a run of each.")
@click.option("--headless", is_flag=True, help="Become the daemon: print `ready URL`, and stay.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", help="Serve on 127.0.0.1:N as well; 0 is any free port."
)
@click.option("--no-sandbox", is_flag=True, help="Run stages as bare processes, unconfined.")
@click.option("--slots", type=click.IntRange(min=1), metavar="N", help="How many stages run at once.")
@click.option(
    "--limit", "limits", multiple=True, metavar="NAME=VALUE",
    help="Hold every stage to it: processes=512, cpu-time=2h, file-size=10Gi.",
)  # fmt: skip
@pass_session
def up(session: Session, /, examples: bool, headless: bool, **flags: Any) -> int:
    """Start the daemon on this machine, with an etcd of its own, and open the terminal interface.

    Without --headless the daemon ends when you leave; what runs goes on, and is taken up again next time.

    Example: khantui up --examples
    """
    if session.address:
        raise click.UsageError("up starts a daemon in a data folder: give --data DIR, not --address")
    os.environ.pop("KHANTUI_ADDRESS", None)  # that one is another daemon's
    argv = daemon_argv(session, **flags)
    if headless:
        if examples:
            _examples_beside(session)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, argv)  # noqa: S606  from here on this is the daemon
    from khantui.cli.child import interruptible

    try:
        with interruptible():
            return _serve(session, argv, examples)
    except KeyboardInterrupt:  # leaving is no failure
        return 0


def _serve(session: Session, argv: list[str], examples: bool) -> int:
    """Use the daemon that is there, or one that lives as long as this does."""
    from khantui.cli.child import running_daemon, start, stop

    if running_daemon(session):
        note(f"a daemon answers at {session.client.address} already: it is used")
        return _stay(session, None, examples)
    child = start(argv, session.folder)
    try:
        return _stay(session, child, examples)
    finally:
        stop(session, child)


def daemon_argv(
    session: Session, *, port: int | None, no_sandbox: bool, slots: int | None, limits: tuple[str, ...]
) -> list[str]:
    """The command that is the daemon."""
    argv = [sys.executable, "-m", "backend", "--data", str(session.folder)]
    if port is not None:
        argv += ["--port", str(port)]
    if no_sandbox:
        argv.append("--no-sandbox")
    if slots is not None:
        argv += ["--slots", str(slots)]
    for limit in limits:
        argv += ["--limit", limit]
    return argv


def _stay(session: Session, child: Child | None, examples: bool) -> int:
    """Show what happens until it is over, or until the user leaves."""
    from khantui.cli.examples import apply_examples

    tour = apply_examples(session) if examples else None
    from khantui.cli.terminal import is_terminal, open_interface

    if is_terminal():
        return open_interface(session, tour=tour, child=child)
    if tour is not None:
        return tour.finish(child)
    from khantui.cli.child import until_it_ends

    click.echo(f"ready {session.client.address}")
    return until_it_ends(child)


def _examples_beside(session: Session) -> None:
    """Have a process of its own apply the examples as soon as the daemon, which this one becomes, answers."""
    if os.fork():
        os.wait()
        return
    if os.fork():  # an orphan, so that the daemon need not know of it
        os._exit(0)
    daemon = os.getpgid(0)
    code = 1
    try:
        os.dup2(2, 1)  # stdout is for `ready URL`
        from khantui.cli.child import await_answer
        from khantui.cli.examples import apply_examples

        if await_answer(session, alive=lambda: _alive(daemon)):
            tour = apply_examples(session)
            tour.start_all()
        code = 0
    except Exception as error:
        note(f"khantui: the examples were not applied: {error}")
    finally:
        os._exit(code)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
