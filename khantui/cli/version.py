"""Which version this is."""

from __future__ import annotations

import platform

from khantui import __version__
from khantui.cli.command import command, pass_session
from khantui.cli.session import Session


@command("version", short_help="Print the version.")
@pass_session
def version(session: Session) -> None:
    """Print the version of this program. The daemon's is in `khantui daemon status`.

    Example: khantui version -o json
    """
    found = {"khantui": __version__, "python": platform.python_version()}
    session.show_one(found, lambda v: [f"khantui {v['khantui']} (Python {v['python']})"], lambda v: v["khantui"])
