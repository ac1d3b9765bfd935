"""textual-serve with what a port on a person's machine needs besides: only its own page may talk to it.

Whoever reaches the port acts as the user who serves it. So it listens on this machine alone unless it is told that an
authenticating proxy is before it, and a request that names another site as its origin, or another host, is refused:
a page in the same browser must not be able to open the socket.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

from khantui.errors import Misuse

TEMPLATES = Path(__file__).parent / "templates"
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
        " connect-src 'self' ws: wss:; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer(Server):
    """Serves a command of ours, to its own pages only."""

    def __init__(self, arguments: Sequence[str], *, host: str, port: int, public_url: str | None) -> None:
        command = shlex.join([sys.executable, "-m", "khantui", *arguments])
        super().__init__(
            command, host=host, port=port, title="khantui", public_url=public_url, templates_path=TEMPLATES
        )
        self.hosts = {urlsplit(self.public_url).netloc, *(f"{name}:{port}" for name in LOOPBACK | {"[::1]"})}

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == "/healthz":  # for load balancers, which ask by an address of their own
            return web.Response(text="ok\n")
        origin = request.headers.get("Origin", "")
        if request.host not in self.hosts or (origin and urlsplit(origin).netloc not in self.hosts):
            return web.Response(
                status=403, text="this address is not the one that is served (khantui web --public-url)\n"
            )
        if request.path == "/ws" and not origin:
            return web.Response(status=403, text="browsers only\n")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    async def on_startup(self, app: web.Application) -> None:
        """Say where it is."""
        print(f"ready {self.public_url}", flush=True)


def checked(host: str, public_url: str | None, behind_proxy: bool) -> None:
    """Whether it may be served so. Raises Misuse."""
    if host not in LOOPBACK and not behind_proxy:
        raise Misuse(
            f"whoever reaches {host} would act as you",
            "leave --host away, or put an authenticating proxy before it and say --behind-proxy --public-url URL",
        )
    if public_url is not None and urlsplit(public_url).scheme not in ("http", "https"):
        raise Misuse(f"{public_url!r} is no address of a web page", "https://khantui.example.org")
