"""One etcd cluster, call by call: time-outs, other endpoints, logging in again, and errors that say what is known.

The stubs are those of the `etcd3` module; they run over `grpc.aio`. Nothing else of the project imports gRPC.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

# before gRPC is imported: with it, children that are really forked die
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it has to say comes as errors

import grpc
import grpc.aio
from etcd3 import etcdrpc

from backend.errors import (
    LeaseLost,
    StoreCompacted,
    StoreError,
    StoreFull,
    StoreUnavailable,
    ValueTooLarge,
)
from backend.etcd_access import EtcdAccess

if TYPE_CHECKING:
    from backend.store.tls import TlsFiles

rpc: Any = etcdrpc  # generated: there are no types for it

Code = grpc.StatusCode

OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # a watch that resumes can get 10 MB at once
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # not without calls: two pings of a client that asks nothing are too many for etcd, which then hangs up
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.ping_timeout_ms", 5_000),  # without it a frozen server goes unnoticed
    # a member that comes back at another address is found there, and one that is silent is not waited for
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 1_500),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]
_PLAIN = [*OPTIONS, ("grpc.default_authority", "localhost")]  # sockets have no name; under TLS the name is checked
# what gRPC says when a request surely never left this process
_NOT_SENT = (
    "failed to connect",
    "connection refused",
    "connect failed",
    "dns resolution failed",
    "name resolution",
    "no such file",
)
_MAYBE = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.INTERNAL, Code.UNKNOWN)


class Ambiguous(StoreError):
    """A write whose outcome is not known: it must be read back before it is tried again."""

    code = "outcome-unknown"


class Denied(StoreError):
    """The user or password is wrong, or may not do this."""

    code = "store-denied"


class Member:
    """The channel to one endpoint, and its stubs."""

    def __init__(self, endpoint: str, files: TlsFiles | None) -> None:
        """`files`: what TLS takes; None for none. Raises StoreUntrusted where they are no good."""
        self.stamp = files.stamp() if files is not None else ()
        self.channel = (
            grpc.aio.secure_channel(endpoint, files.credentials(), options=OPTIONS)
            if files is not None
            else grpc.aio.insecure_channel(endpoint, options=_PLAIN)
        )
        self.kv = rpc.KVStub(self.channel)
        self.watch = rpc.WatchStub(self.channel)
        self.lease = rpc.LeaseStub(self.channel)
        self.maintenance = rpc.MaintenanceStub(self.channel)
        self.auth = rpc.AuthStub(self.channel)


class Calls:
    """Calls to whichever member answers."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        timeout: float,
        access: EtcdAccess,
        encrypted: bool,
    ) -> None:
        self._endpoints = list(endpoints)
        self._members: dict[int, Member] = {}
        self._retired: list[Member] = []  # with files that were renewed since; calls may be on their way there still
        self._current = 0
        self._access = access
        self._files = _tls_files(access) if encrypted else None
        self._token = ""
        self._login = asyncio.Lock()
        self.timeout = timeout
        self.heard: Callable[[str, float, str], None] = _unheard  # method, seconds, code where it went wrong
        self.resumed = 0  # how often a watch went on after its stream had ended

    @property
    def current(self) -> int:
        """The number of the endpoint in use: `fail` takes it, so that one failure turns the wheel once."""
        return self._current

    def member(self) -> Member:
        """The endpoint in use. Raises StoreUntrusted where the files for TLS are no good."""
        if self._current not in self._members:
            self._members[self._current] = Member(self._endpoints[self._current], self._files)
        return self._members[self._current]

    def fail(self, seen: int) -> None:
        """The endpoint `seen` does not answer: use the next one, with the files for TLS as they are now."""
        failed = self._members.get(seen)
        if failed is not None and self._files is not None and failed.stamp != self._files.stamp():
            self._retired.append(self._members.pop(seen))
        if self._current == seen:
            self._current = (seen + 1) % len(self._endpoints)

    def forget_login(self) -> None:
        """The token is not accepted any more."""
        self._token = ""

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with each call: only members that have a leader may answer, and who asks."""
        needs_leader = (("hasleader", "true"),)
        if not self._access.user:
            return needs_leader
        async with self._login:
            if not self._token:
                request = rpc.AuthenticateRequest(name=self._access.user, password=_password(self._access))
                self._token = (await self.member().auth.Authenticate(request, timeout=self.timeout)).token
        return (*needs_leader, ("token", self._token))

    async def call(self, service: str, method: str, request: Any, *, writes: bool = False, timeout: float = 0) -> Any:
        """The answer. What only reads is tried again, also elsewhere; a write that may have been made is Ambiguous."""
        limit = timeout or self.timeout
        end, pause, logged_in = time.monotonic() + limit, 0.02, False
        while True:
            seen, began = self._current, time.perf_counter()
            try:
                left = end - time.monotonic()
                share = min(left, limit / self._tries(writes))
                stub = getattr(getattr(self.member(), service), method)
                answer = await stub(request, timeout=max(share, 0.05), metadata=await self.metadata())
                self.heard(method, time.perf_counter() - began, "")
                return answer
            except grpc.aio.AioRpcError as error:
                self.heard(method, time.perf_counter() - began, error.code().name.lower())
                details = error.details() or ""
                if error.code() is Code.UNAUTHENTICATED and self._access.user and not logged_in:
                    logged_in = True
                    self.forget_login()
                    continue
                if known := _known(error.code(), details):
                    raise known from error
                self.fail(seen)
                said = f"etcd: {error.code().name.lower().replace('_', ' ')}: {details}"
                unsent = error.code() is Code.UNAVAILABLE and any(s in details.lower() for s in _NOT_SENT)
                if writes and not unsent:
                    raise Ambiguous(said) from error
                if time.monotonic() + pause >= end:
                    raise await self._unreachable(said, seen) from error
                await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311
                pause = min(pause * 2, 0.5)

    def _tries(self, writes: bool) -> int:
        """Among how many members a call's time is shared out.

        A write that is on its way to a leader when that dies is lost, and nobody says so: another is asked before long.
        """
        return min(len(self._endpoints), 2) if writes else len(self._endpoints)

    async def _unreachable(self, said: str, seen: int) -> StoreUnavailable:
        """The error for an endpoint that cannot be reached; where TLS is the reason, in words."""
        if self._files is None:
            return StoreUnavailable(said, hint="is etcd running? if it takes TLS only, its endpoints are https://…")
        from backend.store.tls import trouble

        return await trouble(self._endpoints[seen], self._files) or StoreUnavailable(said, hint="is etcd running?")

    async def close(self) -> None:
        """Close all channels."""
        for member in (*self._members.values(), *self._retired):
            await member.channel.close()
        self._members.clear()
        self._retired.clear()


def _unheard(method: str, seconds: float, code: str) -> None:
    """Nobody measures."""


def _tls_files(access: EtcdAccess) -> TlsFiles:
    from backend.store.tls import TlsFiles  # what it brings along takes time to load, and most daemons need none of it

    return TlsFiles(access.ca, access.cert, access.key)


def _password(access: EtcdAccess) -> str:
    """The password, read anew from its file if it has one. Raises Denied."""
    if access.password_file is None:
        return access.password
    try:
        return access.password_file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Denied(f"the password for etcd cannot be read: {error}", hint="--etcd-password-file") from error


def error_of(error: Any) -> StoreError:
    """The error that an AioRpcError stands for, of a call that is not tried again."""
    said = error.details() or ""
    return _known(error.code(), said) or StoreUnavailable(f"etcd: {error.code().name.lower()}: {said}")


def _known(code: Any, details: str) -> StoreError | None:
    """The error that this answer surely is; None where nothing is sure."""
    said = details.lower()
    if "compacted" in said:
        return StoreCompacted(f"etcd: {details}")
    if any(s in said for s in ("too large", "larger than max", "too many operations")):
        return ValueTooLarge(f"etcd: {details}")
    if "database space exceeded" in said:
        return StoreFull(
            "etcd's space is used up: nothing can be written, only read and deleted",
            hint="history is given up by itself within a minute; if that is not enough, delete what is not needed, or "
            "give it more: --etcd-quota",
        )
    if "lease not found" in said:
        return LeaseLost("the lease has expired")
    if code in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED) or any(
        s in said for s in ("authentication failed", "user name is empty")
    ):
        return Denied(f"etcd: {details}", hint="check the user and password for etcd")
    if code not in _MAYBE:
        return StoreError(f"etcd: {code.name.lower()}: {details}")
    return None
