"""The daemon: is it there, and how is it? And its state, saved and restored."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session

if TYPE_CHECKING:
    from backend.api.wire import DaemonView


@click.group("daemon", short_help="Look at the daemon; save and restore its state.")
def daemon() -> None:
    """Look at the daemon; save and restore its state."""


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
    if view.clock:
        yield f"  clock      {view.clock}"


@command("backup", short_help="Save a snapshot of the state.")
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="In a folder: delete all but the newest N.")
@pass_session
def backup(session: Session, file: str, keep: int | None) -> int:
    """Save a snapshot of the state (pipelines, runs, schedules) to FILE, or to a new file in the folder FILE.

    The daemon may run meanwhile, and need not. Of an etcd that others run, its environment says where that is:
    KHANTUI_ETCD_ENDPOINTS and what goes with it. Artifacts, logs and code are files of the data folder: copy them too.

    Example: khantui daemon backup /srv/backups --keep 14
    """
    more = ["--keep", str(keep)] if keep is not None else []
    return _administer("backup", file, "--data", str(session.folder), *more)


@command("restore", short_help="Make the state that of a snapshot.")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@pass_session
def restore(session: Session, file: str) -> int:
    """Make the state of the data folder that of a snapshot. The daemon must not run; what was there is put aside.

    Example: khantui daemon restore /srv/backups/khantui-20261124T030000Z.db --data /srv/khan
    """
    return _administer("restore", file, "--data", str(session.folder))


def _administer(*words: str) -> int:
    """Have a program of the daemon's side do it: this one knows nothing of its store."""
    return subprocess.run([sys.executable, "-m", "backend.admin", *words], check=False).returncode


for each in (status, backup, restore):
    daemon.add_command(each)
