"""`khantui web`: the terminal interface in a browser."""

from __future__ import annotations

import os

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, note


@command("web", short_help="Serve the terminal interface to a browser.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8090, show_default=True, metavar="N", help="On which port."
)
@click.option("--public-url", metavar="URL", help="The address that browsers use, if a proxy is before it.")
@click.option("--behind-proxy", is_flag=True, help="An authenticating proxy lets only those through who may.")
@click.option("--read-only", is_flag=True, help="Nothing can be changed from there.")
@pass_session
def web(session: Session, host: str, port: int, public_url: str | None, behind_proxy: bool, read_only: bool) -> int:
    """Serve the terminal interface to a browser, with the rights of whoever starts this.

    Example: khantui web --port 8090
    """
    from khantui.web.server import WebServer, checked

    checked(host, public_url, behind_proxy)
    session.client.daemon()  # who is told that it is ready finds something there
    for variable, value in session.client.address.environment().items():
        os.environ[variable] = value  # for the interfaces, which are programs of their own
    arguments = ["--address", str(session.client.address), *(["--read-only"] if read_only else [])]
    note("ctrl-c ends it; sessions that are open end with it")
    WebServer(arguments, host=host, port=port, public_url=public_url).serve()
    return 0
