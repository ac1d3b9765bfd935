"""The daemon: is it there, and how is it?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session

if TYPE_CHECKING:
    from backend.api.wire import DaemonView


@click.group("daemon", short_help="Look at the daemon.")
def daemon() -> None:
    """Look at the daemon."""


@command("status", short_help="Say whether the daemon answers, and how it is.")
@pass_session
def status(session: Session) -> None:
    """Say whether the daemon answers, and how it is; exit 3 if it does not.

    Example: khantui daemon status -o json
    """
    session.show_one(session.client.daemon(), lambda d: daemon_lines(session, d), lambda d: str(d.pid))


def daemon_lines(session: Session, view: DaemonView) -> Iterator[str]:
    """The daemon for people."""
    from khantui.render.moments import size

    yield f"khantui {view.version} answers at {session.client.address}"
    yield f"  process    {view.pid}, {'leads' if view.leader else 'does not lead'}"
    confined = "confined" if view.sandboxed else "NOT confined (--no-sandbox)"
    yield f"  executor   {view.executor}, {view.slots} slots, stages {confined}"
    yield f"  data       {view.data}"
    store = view.store
    if "in_use" in store and "quota" in store:
        full = ", FULL: read-only" if store.get("full") else ""
        most = f" of {size(store['quota'])}" if store["quota"] else ""  # etcd tells its quota from 3.6 on
        yield f"  store      etcd {store.get('version', '?')}, {size(store['in_use'])}{most}{full}"


daemon.add_command(status)
