"""Which images stages can name."""

from __future__ import annotations

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session


@command("images", short_help="List the images that stages can name.")
@pass_session
def images(session: Session) -> None:
    """List the images that stages can name, and which of them work on the daemon's machine.

    Example: khantui images
    """
    from khantui.render.rows import image_columns

    session.show(session.client.images(), image_columns(), lambda i: i.name)
