"""`khantui up`: a daemon on this machine, and, if wanted, the examples to look at."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from khantui.cli.cluster import cluster_options
from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, note

if TYPE_CHECKING:
    from khantui.cli.child import Child


@command("up", short_help="Start the daemon here: etcd, API, and what runs stages.")
@click.option("--examples", is_flag=True, help="Apply the example pipelines, and start a run of each.")
@click.option("--headless", is_flag=True, help="Become the daemon: print `ready URL`, and stay.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", help="Serve on 127.0.0.1:N as well; 0 is any free port."
)
@click.option(
    "--executor",
    type=click.Choice(["sandbox", "kubernetes"]),
    default="sandbox",
    show_default=True,
    help="Run stages here, or as Jobs of the kubeconfig's cluster.",
)
@click.option("--artifacts", metavar="URL", help="Keep artifacts in s3://BUCKET/PREFIX, gs://… or az://….")
@cluster_options
@click.option("--no-sandbox", is_flag=True, help="Run stages as bare processes, unconfined.")
@click.option("--slots", type=click.IntRange(min=1), metavar="N", help="How many stages run at once.")
@click.option(
    "--limit", "limits", multiple=True, metavar="NAME=VALUE",
    help="Hold every stage to it: processes=512, cpu-time=2h, file-size=10Gi.",
)  # fmt: skip
@click.option("--secrets-key", metavar="FILE", help="The keys that wrap secrets, instead of a file in the data folder.")
@pass_session
def up(session: Session, /, examples: bool, headless: bool, executor: str, **flags: Any) -> int:
    """Start the daemon on this machine, with an etcd of its own, and open the terminal interface.

    Without --headless the daemon ends when you leave; what runs goes on, and is taken up again next time.

    With --executor kubernetes the daemon and its etcd are here and stages run in the cluster that kubectl speaks with;
    artifacts are in an object store that both reach.

    Example: khantui up --examples
    """
    if session.address:
        raise click.UsageError("up starts a daemon in a data folder: give --data DIR, not --address")
    os.environ.pop("KHANTUI_ADDRESS", None)  # that one is another daemon's
    argv = daemon_argv(session, **{f: flags.pop(f) for f in ("port", "no_sandbox", "slots", "limits", "secrets_key")})
    if executor == "kubernetes":
        argv += _cluster(session, flags)
    elif given := [f"--{name.replace('_', '-')}" for name, value in flags.items() if value]:
        raise click.UsageError(f"{', '.join(given)}: for --executor kubernetes alone")
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


def _cluster(session: Session, flags: dict[str, Any]) -> list[str]:
    """The daemon's flags for a cluster, which is looked at first. Raises Failure where stages could not run there."""
    from khantui.cli.cluster import cluster_argv, cluster_checks
    from khantui.errors import Failure, Misuse

    artifacts = flags["artifacts"] or os.environ.get("KHANTUI_ARTIFACTS")
    if not artifacts:
        raise Misuse(
            "stages in a cluster cannot reach this machine's disk: their artifacts need an object store",
            "give one that both reach: --artifacts s3://BUCKET/PREFIX (with --artifacts-secret NAME for the pods);"
            " or run the daemon in the cluster: kubectl apply -k deploy/overlays/small (docs/deploy.md)",
        )
    for check in cluster_checks(flags):
        if check.name == "cluster" and check.state == "ok":
            note(f"stages run on {check.found}")
        elif check.essential and check.state == "missing":
            raise Failure(check.found, check.advice or "see `khantui doctor --executor kubernetes`")
    return ["--executor", "kubernetes", "--artifacts", artifacts, *cluster_argv(flags)]


def daemon_argv(
    session: Session,
    *,
    port: int | None,
    no_sandbox: bool,
    slots: int | None,
    limits: tuple[str, ...],
    secrets_key: str | None,
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
    if secrets_key is not None:
        argv += ["--secrets-key", secrets_key]
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
