"""What this machine or a cluster lacks, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from khantui.cli.cluster import cluster_options
from khantui.cli.command import command, pass_session
from khantui.cli.session import Session

if TYPE_CHECKING:
    from khantui.cli.checks import Check


@command("doctor", short_help="Say what this machine or a cluster lacks, and what to do about it.")
@click.option(
    "--executor",
    type=click.Choice(["sandbox", "kubernetes"]),
    default="sandbox",
    show_default=True,
    help="Look at this machine, or at a cluster.",
)
@cluster_options
@click.option("--try", "tried", is_flag=True, help="On a cluster: fetch an image and run a pod of it.")
@pass_session
def doctor(session: Session, /, executor: str, tried: bool, **flags: str | None) -> int:
    """Say what this machine or a cluster lacks, and what to do about it; exit 1 if something essential does.

    Example: khantui doctor --executor kubernetes --namespace khantui --try
    """
    from khantui.cli.checks import all_checks
    from khantui.cli.cluster import cluster_checks

    found = cluster_checks(flags, tried=tried) if executor == "kubernetes" else all_checks(session)
    checks: list[Check] = []
    if session.for_people:  # one after the other: some take a second
        for check in found:
            checks.append(check)
            show(session, check)
    else:
        checks = list(found)
        session.show(checks, [], lambda c: c.name)
    return 1 if any(c.essential and c.state == "missing" for c in checks) else 0


def show(session: Session, check: Check) -> None:
    """One thing that was looked at, for people."""
    from khantui.render.status import paint
    from khantui.render.text import visible

    mark = {"ok": "✔", "note": "•", "missing": "✖"}[check.state]
    colour = {"ok": "succeeded", "note": "warning", "missing": "failed"}[check.state]
    click.echo(
        f"{paint(mark, colour, session.colour)} {check.name:<14} {visible(check.found)}",
        color=session.colour,
    )
    if check.advice and check.state != "ok":
        click.echo(f"  {'':<14} → {visible(check.advice)}")
