"""Requests that survive a daemon's restart, and problems turned into exceptions."""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from backend.api.wire import API, Problem
from khantui import __version__
from khantui.api.address import Address
from khantui.api.credential import Credential
from khantui.errors import Denied, Failure, Misuse, Unreachable

T = TypeVar("T")
Query = Mapping[str, Any]

BECAUSE: ContextVar[str] = ContextVar("because", default="")
"""Why what is asked for from here on is done, for the journal; "" for what the client was made with."""

# what a connection does when the daemon behind it goes away
LOST = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_STATUSES: dict[int, type[Failure]] = {400: Misuse, 401: Denied, 403: Denied}


def tls_context(address: Address, environment: Mapping[str, str]) -> ssl.SSLContext | bool:
    """How a daemon's certificate is checked. Raises Misuse for an authority that is none."""
    if not address.base.startswith("https:"):
        return False  # there is none
    ca = address.ca or environment.get("KHANTUI_CA", "")
    try:
        return ssl.create_default_context(cafile=str(Path(ca).expanduser()) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise Misuse(f"{ca} holds no certificates (PEM): {error}", "see KHANTUI_CA") from error


class TooBusy(Exception):
    """We ask too often: `wait` is how many seconds to wait."""

    def __init__(self, failure: Failure, wait: float) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.wait = wait


class Http:
    """One daemon, over a unix socket or a port.

    Every request may be repeated: reading ones by nature, writing ones because they carry an idempotency key. So
    when a daemon that has answered before goes away, requests are tried again for `patience` seconds. A daemon
    that never answered is reported at once.
    """

    def __init__(self, address: Address, *, timeout: float = 60.0, patience: float = 20.0, reason: str = "") -> None:
        """`reason`: why things are done, for the journal."""
        self.address = address
        self._reason = reason
        self.patience = patience
        self._met = False
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(
                uds=str(address.socket) if address.socket else None, verify=tls_context(address, os.environ)
            ),
            auth=Credential(address, os.environ) if address.socket is None else None,
            base_url=address.base + API,
            headers={"User-Agent": f"khantui/{__version__}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            trust_env=False,
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def get(self, path: str, kind: type[T], **query: Any) -> T:
        """What is at `path`. Raises Failure and its kinds."""
        return decode(self.request("GET", path, query=query).content, kind)

    def send(self, method: str, path: str, kind: type[T], body: msgspec.Struct | None = None, **query: Any) -> T:
        """The answer to a change. Raises Failure and its kinds."""
        content = msgspec.json.encode(body) if body is not None else None
        return decode(self.request(method, path, query=query, content=content).content, kind)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        content: bytes | None = None,
        media: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A successful answer, read whole."""
        headers = {**(headers or {}), **({"Content-Type": media} if content is not None else {})}
        if method != "GET":
            headers["Idempotency-Key"] = secrets.token_hex(16)
            if reason := BECAUSE.get() or self._reason:
                headers["X-Khantui-Reason"] = quote(reason, safe=" ")  # headers have no other letters
        request = self._client.build_request(method, path, params=_clean(query), content=content, headers=headers)
        return self._persist(lambda: self._checked(self._client.send(request)))

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float | None = 60.0,
    ) -> Iterator[httpx.Response]:
        """An answer that is read as it comes; `silence` is how many seconds may pass without a byte (None: any)."""
        request = self._client.build_request(
            "GET",
            path,
            params=_clean(query),
            headers=headers,
            timeout=httpx.Timeout(60.0, connect=5.0, read=silence),
        )
        response = self._persist(lambda: self._checked(self._client.send(request, stream=True)))
        try:
            yield response
        finally:
            response.close()

    def _checked(self, response: httpx.Response) -> httpx.Response:
        self._met = True
        if response.is_success:
            return response
        try:
            response.read()
        finally:
            response.close()
        if response.status_code == 429:
            wait = response.headers.get("retry-after", "")
            raise TooBusy(problem(response), float(wait) if wait.isdigit() else 1.0)
        raise problem(response)

    def _persist(self, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + self.patience
        pause = 0.05
        lost = not self._met or self.patience <= 0  # who tries again by itself meets a daemon that is away often
        while True:
            try:
                if lost:
                    self._knock()
                return call()
            except httpx.TimeoutException as error:
                failure: Failure = self._unreachable(error)
                again = self._met
            except LOST as error:
                failure = self._unreachable(error)
                again = self._met
            except TooBusy as error:  # as long as it says, and no longer than anything else is tried
                if time.monotonic() + error.wait > deadline:
                    raise error.failure from None
                time.sleep(error.wait)
                continue
            except Unreachable as error:  # it answers, but its store does not
                failure, again = error, True
            except httpx.HTTPError as error:
                raise Failure(f"the daemon at {self.address} gave an answer that cannot be read: {error}") from error
            if not again or time.monotonic() + pause > deadline:
                raise failure
            lost = True
            time.sleep(pause)
            pause = min(1.0, pause * 2)

    def _knock(self) -> None:
        """Whether anybody listens on the socket. Raises httpx.ConnectError.

        The client below would leave the socket of a failed attempt open.
        """
        if self.address.socket is None:
            return
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(5.0)
            try:
                knocking.connect(str(self.address.socket))
            except PermissionError as error:
                raise Denied(
                    f"this user may not open {self.address.socket}", "the socket belongs to whoever runs the daemon"
                ) from error
            except OSError as error:
                raise httpx.ConnectError(str(error)) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        if self._met:
            return Unreachable(
                f"the daemon at {self.address} has gone away", "see what it says: daemon.log in its data folder"
            )
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            said = str(error).rpartition("failed: ")[2]
            return Unreachable(
                f"the certificate of {self.address} is not trusted: {said}",
                "name the authority that it comes from: KHANTUI_CA=FILE, or khantui context add --ca FILE",
            )
        if isinstance(error, httpx.TimeoutException):
            return Unreachable(f"the daemon at {self.address} does not answer in time")
        return Unreachable(
            f"no daemon answers at {self.address}", "start one with `khantui up`, or say where it is with --data"
        )


def decode(content: bytes, kind: type[T]) -> T:
    """A wire struct from JSON. Raises Failure if the daemon speaks of something else."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise Failure(
            f"the daemon's answer is not what this version expects: {error}",
            "are khantui and its daemon of the same version? (khantui version)",
        ) from error


def problem(response: httpx.Response) -> Failure:
    """The exception for an answer that is not a success."""
    try:
        said = msgspec.json.decode(response.content, type=Problem)
    except msgspec.MsgspecError:
        text = f"the daemon answered {response.status_code} to {response.request.method} {response.request.url.path}"
        return _STATUSES.get(response.status_code, Failure)(text, code=str(response.status_code))
    kind = _STATUSES.get(said.status, Failure)
    if said.code == "store-unavailable":
        kind = Unreachable
    lines = [said.detail or said.title]
    lines += [f"  {f.path}: {f.message}{f'; {f.suggestion}' if f.suggestion else ''} [{f.code}]" for f in said.findings]
    return kind("\n".join(lines), said.hint, code=said.code)


def _clean(query: Query | None) -> httpx.QueryParams:
    """Query parameters that were given; a list or tuple becomes a parameter said several times."""
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in (query or {}).items():
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if each is True or each is False:
                each = str(each).lower()
            if each is not None and each != "":
                pairs.append((name, str(each)))
    return httpx.QueryParams(pairs)
