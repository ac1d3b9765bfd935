"""textual-serve with what a port on a person's machine needs besides: only its own page may talk to it.

Whoever reaches the port acts as the user who serves it. So it listens on this machine alone unless it is told that an
authenticating proxy is before it, and a request that names another site as its origin, or another host, is refused:
a page in the same browser must not be able to open the socket.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve import server as server_module
from textual_serve.app_service import AppService
from textual_serve.server import Server

from khantui.errors import Failure, Misuse

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
_SIGNED_IN: ContextVar[str] = ContextVar("signed_in", default="")
log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Session(AppService):
    """The program behind one page."""

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        environment = super()._build_environment(width, height)
        if token := _SIGNED_IN.get():
            for name in ("KHANTUI_TOKEN_FILE", "KHANTUI_TOKEN_COMMAND"):
                environment.pop(name, None)
            environment["KHANTUI_TOKEN"] = token
        return environment


server_module.AppService = _Session  # type: ignore[attr-defined]  # it is made in the middle of a method of theirs


class WebServer(Server):
    """Serves a command of ours, to its own pages only."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        host: str,
        port: int,
        public_url: str | None,
        sign_in: Callable[[Mapping[str, str]], str] | None = None,
    ) -> None:
        """`sign_in` is given a request's headers, and says what opens the daemon in the name of who has sent it."""
        command = shlex.join([sys.executable, "-m", "khantui", *arguments])
        super().__init__(
            command, host=host, port=port, title="khantui", public_url=public_url, templates_path=TEMPLATES
        )
        self._sign_in = sign_in
        self.hosts = {urlsplit(self.public_url).netloc, *(f"{name}:{port}" for name in LOOPBACK | {"[::1]"})}

    def initialize_logging(self) -> None:
        """Without what variables hold: among them is what opens the daemon."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """A session: a program of its own, with the rights of this one, or of whom the proxy names."""
        if self._sign_in is None:
            return await super().handle_websocket(request)
        try:
            token = await asyncio.to_thread(self._sign_in, request.headers)
        except Failure as failure:
            log.warning("a session is refused: %s", failure.message)
            raise web.HTTPForbidden(text=f"{failure.message}\n") from None
        _SIGNED_IN.set(token)  # of this task, and of what it starts
        return await super().handle_websocket(request)

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
