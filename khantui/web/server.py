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

PAGE = Path(__file__).parent / "page"
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_KEPT = ("/static/", "/page/")  # what browsers may keep; nothing of it is anybody's
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
        most: int,
        sign_in: Callable[[Mapping[str, str]], str] | None = None,
    ) -> None:
        """`sign_in` is given a request's headers, and says what opens the daemon in the name of who has sent it.

        `most`: sessions at once; each is a program of its own, of some 100 MB.
        """
        command = shlex.join([sys.executable, "-m", "khantui", *arguments])
        super().__init__(command, host=host, port=port, title="khantui", public_url=public_url, templates_path=PAGE)
        self._sign_in = sign_in
        self._most, self._open = most, 0
        public = urlsplit(self.public_url)
        origin, sockets = (
            f"{public.scheme}://{public.netloc}",
            f"{'wss' if public.scheme == 'https' else 'ws'}://{public.netloc}",
        )
        # scripts are files of ours; styles must be allowed in the page, because xterm.js writes them there
        self._policy = (
            f"default-src 'none'; script-src 'self' {origin}; style-src 'self' 'unsafe-inline' {origin};"
            f" font-src 'self' {origin}; img-src 'self' {origin} data: blob:; connect-src 'self' {origin} {sockets};"
            " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )
        self.hosts = {urlsplit(self.public_url).netloc, *(f"{name}:{port}" for name in LOOPBACK | {"[::1]"})}

    def initialize_logging(self) -> None:
        """Without what variables hold: among them is what opens the daemon."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """A session: a program of its own, with the rights of this one, or of whom the proxy names.

        It lives and ends with this connection. Nothing that a browser brings along (cookies, addresses) leads to one
        that there is already.
        """
        if self._open >= self._most:
            log.warning("a session is refused: %d are open, which is as many as there may be (--sessions)", self._open)
            raise web.HTTPServiceUnavailable(text="as many sessions are open as there may be\n")
        self._open += 1
        try:
            return await self._begin(request)
        finally:
            self._open -= 1

    async def _begin(self, request: web.Request) -> web.WebSocketResponse:
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
        app.router.add_static("/page", PAGE, name="page")
        app.on_response_prepare.append(self._secure)
        return app

    async def _secure(self, request: web.Request, response: web.StreamResponse) -> None:
        """Headers of every answer, also of those that are sent in parts."""
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; sandbox" if request.path.startswith("/download/") else self._policy
        )
        kept = request.path.startswith(_KEPT) and response.status < 400
        response.headers["Cache-Control"] = "max-age=3600" if kept else "no-store"

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
        return await handler(request)

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
