"""Sends messages through `apprise`. URLs hold secrets: neither they nor parts of them come into a log or an answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote

from msgspec import Struct

from backend.errors import InvalidRequest
from backend.notify.model import Message

T = TypeVar("T")
PATIENCE = 30.0  # seconds that one service has
_HOSTED = re.compile(r"(?:json|xml|form)s?://(?:[^@/]*@)?([A-Za-z0-9.:\[\]-]+)")  # schemas whose host is no secret
_LOCAL = ("dbus", "qt", "kde", "glib", "gnome", "macosx", "windows", "syslog")  # they speak on the daemon's machine


class Sent(Struct, frozen=True):
    """What became of a message at one URL. `said` is what the service said if it went wrong."""

    fingerprint: str
    shown: str
    good: bool
    said: str = ""


def fingerprint(url: str) -> str:
    """What tells a URL from others without saying it."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


async def shown(urls: Sequence[str]) -> tuple[str, ...]:
    """What may be shown of each URL. Raises InvalidRequest, without the URL, for one that no service understands."""
    return await _aside(lambda: tuple(_shown(number, url) for number, url in enumerate(urls, 1)), PATIENCE)


async def send(urls: Sequence[str], message: Message, *, patience: float = PATIENCE) -> list[Sent]:
    """Send to each URL, all at once. Never raises for what a service does."""
    return list(await asyncio.gather(*(_send(url, message, patience) for url in urls)))


async def _send(url: str, message: Message, patience: float) -> Sent:
    visible = _mask(url)
    try:
        said = await _aside(lambda: _notify(url, message), patience)
    except TimeoutError:
        said = f"it has not answered within {patience:.0f} s"
    except Exception as error:  # a plugin's own mistake, too, is only a failure to tell
        said = f"{type(error).__name__}: {error}"
    return Sent(fingerprint(url), visible, not said, _clean(said, url))


def _notify(url: str, message: Message) -> str:
    """Send, in a thread: what went wrong, or nothing."""
    apprise = _library()
    heard = _Hearing()
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    try:
        service = _service(url)
        if service is None:
            return "no service understands this URL"
        good = service.notify(
            title=message.title,
            body=message.body,
            notify_type=apprise.NotifyType(message.kind),
            body_format=apprise.NotifyFormat.TEXT,
        )
    finally:
        logger.removeHandler(heard)
    return "" if good else "; ".join(heard.said) or "it was not accepted"


def _library() -> Any:
    import apprise

    logging.getLogger("apprise").propagate = False  # what it logs may hold parts of URLs
    return apprise


def _service(url: str) -> Any:
    """The library's object for a URL; None if there is no such service."""
    apprise = _library()
    if url.partition("://")[0].lower() in _LOCAL:
        return None
    asset = apprise.AppriseAsset(
        app_id="Khantui",
        app_desc="Khantui",
        app_url="",
        async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        pgp_autogen=False,
        pem_autogen=False,
    )
    return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _shown(number: int, url: str) -> str:
    schema = url.partition("://")[0]
    if _service(url) is None:
        named = f" ({schema}://…)" if re.fullmatch(r"[a-z0-9+-]{1,20}", schema) and schema != url else ""
        raise InvalidRequest(
            f"URL {number}{named} is not understood by any service",
            hint="https://appriseit.com/services lists how each is written",
        )
    return _mask(url)


def _mask(url: str) -> str:
    if found := _HOSTED.match(url):
        return f"{url.partition('://')[0]}://{found[1]}/…"
    return f"{url.partition('://')[0][:20]}://…"


def _clean(said: str, url: str) -> str:
    """What a service said, in one line, without anything that its URL keeps secret."""
    text = " ".join(said.split())[:500]
    found = _HOSTED.match(url)
    rest = f"{url[: found.start(1)]}/{url[found.end(1) :]}" if found else url
    parts = re.split(r"[/:@?&=#,]", rest.partition("://")[2])
    secrets = {part for raw in parts for part in (raw, unquote(raw)) if len(part) > 3}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


class _Hearing(logging.Handler):
    """Gathers what the library complains of in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a complaint of our own thread."""
        if record.thread == self._thread:
            self.said.append(record.getMessage())


async def _aside(work: Callable[[], T], patience: float) -> T:
    """Work in a thread that nobody waits for at the end: a service that hangs must not keep the daemon from ending.

    Raises TimeoutError, and what the work raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="khantui-notify", daemon=True).start()
    async with asyncio.timeout(patience):
        return await done
