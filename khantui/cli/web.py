"""`khantui web`: the terminal interface in a browser."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import click

from khantui.cli.command import command, pass_session
from khantui.cli.session import Session, note
from khantui.errors import Misuse

if TYPE_CHECKING:
    from khantui.api.address import Address

ASSERTION = "x-goog-iap-jwt-assertion"


@command("web", short_help="Serve the terminal interface to a browser.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8090, show_default=True, metavar="N", help="On which port."
)
@click.option("--public-url", metavar="URL", help="The address that browsers use, if a proxy is before it.")
@click.option("--behind-proxy", is_flag=True, help="An authenticating proxy lets only those through who may.")
@click.option(
    "--sign-in", is_flag=True, help="Sessions have the rights of whom the proxy (IAP) names, not of who starts this."
)
@click.option(
    "--sessions", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="How many at once, at most."
)
@click.option("--read-only", is_flag=True, help="Nothing can be changed from there.")
@pass_session
def web(
    session: Session,
    host: str,
    port: int,
    public_url: str | None,
    behind_proxy: bool,
    sign_in: bool,
    sessions: int,
    read_only: bool,
) -> int:
    """Serve the terminal interface to a browser, with the rights of whoever starts this; or, with --sign-in, of whom
    Google's Identity-Aware Proxy names. Then the daemon must know that proxy (its --iap-audience).

    Example: khantui web --port 8090
    """
    from khantui.web.server import WebServer, checked

    checked(host, public_url, behind_proxy)
    if not sign_in:
        session.client.daemon()  # who is told that it is ready finds something there
    elif not behind_proxy:
        raise Misuse("--sign-in is for what is behind a proxy that names people", "--behind-proxy --public-url URL")
    for variable, value in session.client.address.environment().items():
        os.environ[variable] = value  # for the interfaces, which are programs of their own
    if session.reason:
        os.environ["KHANTUI_MESSAGE"] = session.reason
    arguments = ["--address", str(session.client.address), *(["--read-only"] if read_only else [])]
    note("ctrl-c ends it; sessions that are open end with it")
    names = partial(_sign_in, session.client.address) if sign_in else None
    WebServer(arguments, host=host, port=port, public_url=public_url, sign_in=names, most=sessions).serve()
    return 0


def _sign_in(address: Address, headers: Mapping[str, str]) -> str:
    """What opens the daemon for whom the proxy names in these headers: that the daemon has to say. Raises Failure."""
    from khantui.api.client import Client
    from khantui.errors import Denied

    assertion = headers.get(ASSERTION, "")
    if not assertion:
        raise Denied("this request has not come through the proxy", "see the address that the proxy serves")
    client = Client(address._replace(token_file="", token_command=""), patience=0.0)
    try:
        return client.begin_session({ASSERTION: assertion}).token
    finally:
        client.close()
