"""Writing schedules for other schedulers, for whoever leaves, or mirrors them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, group, pass_session
from khantui.cli.session import Session, note

if TYPE_CHECKING:
    from backend.api.wire import ScheduleView


@group("export", short_help="Write the schedules for cron or for Kubernetes.")
@click.pass_context
def export(ctx: click.Context) -> None:
    """Write the schedules for another scheduler, to stdout.

    Example: khantui export crontab > khantui.cron
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command("crontab", short_help="Write the schedules as a crontab.")
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]…")
@click.option("--program", default="khantui", show_default=True, metavar="PATH", help="What cron finds khantui by.")
@pass_session
def crontab(session: Session, pipelines: tuple[str, ...], program: str) -> None:
    """Write the schedules, or those of each PIPELINE, as a crontab that calls `khantui run`; what cron cannot do is
    said in comments.

    Example: khantui export crontab weekly-learners --program /usr/local/bin/khantui
    """
    from khantui.crontab.export import crontab_lines

    found = _schedules(session, pipelines)
    variables = {"KHANTUI_ADDRESS": session.address} if session.address else {}
    variables |= {"KHANTUI_DATA": session.data} if session.data and not session.address else {}
    _print(session, found, "\n".join(crontab_lines(found, variables, program)))


@command("cronjobs", short_help="Write the schedules as Kubernetes CronJobs.")
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]…")
@click.option("--server", metavar="URL", default="https://khantui", show_default=True,
              help="Where pods reach the daemon.")  # fmt: skip
@click.option("--secret", metavar="NAME", default="khantui-token", show_default=True,
              help="A Secret with the daemon's `token`; empty: none.")  # fmt: skip
@click.option("--ca-secret", metavar="NAME", default="khantui-api-tls", show_default=True,
              help="A Secret with the `ca.crt` of its certificate; empty: none.")  # fmt: skip
@click.option("--image", metavar="REF", help="The image that has khantui; by default the daemon's, of this version.")
@click.option("--namespace", default="", metavar="NS", help="The namespace of the CronJobs.")
@pass_session
def cronjobs(
    session: Session, pipelines: tuple[str, ...], server: str, secret: str, ca_secret: str, image: str | None,
    namespace: str,
) -> None:  # fmt: skip
    """Write the schedules, or those of each PIPELINE, as CronJobs in YAML. Their Jobs call `khantui run --wait`, so
    that they fail when the run does; what CronJobs cannot do is said in comments.

    Example: khantui export cronjobs --server https://khantui.khantui | kubectl apply -f -
    """
    from khantui import __version__
    from khantui.crontab.cronjobs import cronjob_yaml

    found = _schedules(session, pipelines)
    image = image or f"ghcr.io/khantui/khantui-daemon:{__version__}"
    _print(session, found, cronjob_yaml(found, server, image, secret, ca_secret, namespace).rstrip("\n"))


for each in (crontab, cronjobs):
    export.add_command(each)


def _schedules(session: Session, pipelines: tuple[str, ...]) -> list[ScheduleView]:
    return [s for s in session.client.schedules() if not pipelines or s.pipeline in pipelines]


def _print(session: Session, found: list[ScheduleView], text: str) -> None:
    """The text as it is, or in an object for programs; people hear that cron is a second one that starts runs."""
    session.show_one({"text": text, "schedules": [s.name for s in found]}, lambda _: [text], lambda _: _names(found))
    if session.for_people and any(not (s.paused or s.done) for s in found):
        note("these schedules fire here, too: pause them (khantui pause) before cron or Kubernetes takes over")


def _names(found: list[ScheduleView]) -> str:
    return "\n".join(s.name for s in found)
