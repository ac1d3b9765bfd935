"""What this machine lacks, and what to do about it."""

from __future__ import annotations

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session


@command("doctor", short_help="Say what this machine lacks, and what to do about it.")
@pass_session
def doctor(session: Session) -> int:
    """Say what this machine lacks, and what to do about it; exit 1 if something essential does.

    Example: khantui doctor
    """
    from khantui.cli.checks import Check, all_checks
    from khantui.render.status import paint
    from khantui.render.text import visible

    checks: list[Check] = []
    if session.for_people:  # one after the other: some take a second
        for check in all_checks(session):
            checks.append(check)
            mark = {"ok": "✔", "note": "•", "missing": "✖"}[check.state]
            colour = {"ok": "succeeded", "note": "warning", "missing": "failed"}[check.state]
            click.echo(
                f"{paint(mark, colour, session.colour)} {check.name:<14} {visible(check.found)}",
                color=session.colour,
            )
            if check.advice and check.state != "ok":
                click.echo(f"  {'':<14} → {visible(check.advice)}")
    else:
        checks = list(all_checks(session))
        session.show(checks, [], lambda c: c.name)
    return 1 if any(c.essential and c.state == "missing" for c in checks) else 0
