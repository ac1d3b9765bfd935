"""Who asks. The one place where callers are told apart, whatever door they have come through.

The unix socket and loopback TCP: the kernel says which user the other end belongs to. The daemon's own user, and root,
may do everything; others have what is bound to `user:unix:LOGIN` and the groups of that login. From other machines, and
where one is shown elsewhere, a token says who it is.
"""

from __future__ import annotations

import getpass
import grp
import hashlib
import hmac
import os
import pwd
import socket
import struct
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from msgspec import Struct
from starlette.requests import Request

from backend.access.model import Principal
from backend.api.doors import PEER, SCOPE, Way
from backend.api.failures import Failures, network
from backend.clock import Clock, SystemClock
from backend.errors import IdentityUnavailable, KhanError, NotAllowed, NotAuthenticated
from backend.issuers import Refused, Trusted, Unavailable
from backend.listening import Listening
from backend.store.access import AccessBook
from backend.trust import Trust

_HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]", "khantui", ""))
ASSERTION = "x-goog-iap-jwt-assertion"
_FORWARDED = "x-forwarded-for"
# what proxies add: behind one, everybody would come from this machine
_PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via", ASSERTION)
SHORTEST = 16  # bytes of a token
PREFIX = "khan_"  # of the text of API tokens
_ESTABLISHED = "01"  # the state of a connection that both ends hold, in the kernel's table


Proof = Literal["", "socket", "loopback", "token", "session", "iap", "oidc"]
"""How it was proven who asks: by the kernel at one of two doors, by a token of ours, by a session that a proxy or
an issuer began, by a proxy, by an issuer."""


class Identity(Struct, frozen=True):
    """Who asks, and from where."""

    principal: Principal
    origin: str  # "unix", or an address
    proof: Proof = ""
    signed: bool = False  # a proxy or an issuer has named them in this very request

    @property
    def name(self) -> str:
        """As journals and lists name them."""
        who = self.principal
        return f"token:{who.name}" if who.kind == "token" and not who.owner else who.name


class Login:
    """Lets in whoever may come in by the door that they have come to."""

    def __init__(
        self,
        access: AccessBook,
        listening: Listening | None = None,
        trusted: Trusted | None = None,
        clock: Clock | None = None,
        failures: Failures | None = None,
    ) -> None:
        """`trusted`: whose word is taken beside that of the kernel and of our own tokens."""
        self._failures = failures or Failures()
        self._access = access
        self._clock = clock or SystemClock()
        self._trusted = trusted or Trusted(Trust())
        self._listening = listening or Listening()
        self._file = self._listening.token_file
        self._token = b""
        self._read = 0  # the file's time of change when it was read
        if self._file is not None:
            self._refresh(self._file)

    async def identify(self, request: Request) -> Identity:
        """Who asks. Raises NotAllowed, NotAuthenticated, TooMany."""
        way = request.scope.get(SCOPE)
        if way is None or (request.client is None and way is not Way.UNIX):
            raise NotAllowed("it is not known where this request comes from")
        if way is Way.LOOPBACK:
            _keep_sites_out(request)
        origin, shown = self.origin(request), _shown(request)
        if not shown:  # whom the kernel names; or nobody, which is found out at once
            return await self._identify(request, way, origin)
        place = self._place(request, way, origin)
        self._failures.check(place, shown)
        try:
            who = await self._identify(request, way, origin)
        except NotAuthenticated:
            if place:
                self._failures.failed(place, shown)
            raise
        if place:
            self._failures.succeeded(place, shown)
        return who

    def origin(self, request: Request) -> str:
        """The address that a request has come from, or `unix`.

        Behind proxies the address that has connected is theirs. What they say in X-Forwarded-For is believed where it
        is known how many addresses at its end are their own words; those before are anybody's.
        """
        if request.client is None:
            return "unix"
        many = self._listening.forwarded
        if many and request.scope.get(SCOPE) is Way.REMOTE:
            said = ",".join(request.headers.getlist(_FORWARDED)).split(",")
            if len(said) >= many:
                try:
                    return str(ip_address(said[-many].strip()))
                except ValueError:
                    pass
        return request.client.host

    def _place(self, request: Request, way: Way, origin: str) -> str:
        """Where failures are counted: a user of this machine, or an address; "" for what everybody comes through."""
        if way is Way.UNIX:
            return f"user {request.scope.get(PEER)}"
        if way is Way.LOOPBACK and request.client is not None:
            return f"user {owner_of((request.client.host, request.client.port), request.scope['server'])}"
        if self._listening.behind_proxy and not self._listening.forwarded:
            return ""
        return network(origin)

    async def _identify(self, request: Request, way: Way, origin: str) -> Identity:
        """Who asks, by the first of the proofs that there are."""
        try:
            proxied = await self._by_proxy(request, way)
            who, proof = await self._proven(request, way, proxied)
        except Refused as error:
            raise NotAuthenticated(str(error), hint="log in anew, or see docs/access.md") from None
        except Unavailable as error:
            raise IdentityUnavailable(str(error), hint="try it again in a minute") from None
        signed = who.kind == "user" and way is Way.REMOTE and not _shows(request, PREFIX)
        return Identity(who, origin, proof, signed)

    async def _proven(self, request: Request, way: Way, proxied: Principal | None) -> tuple[Principal, Proof]:
        """Who asks, and by what. Of several proofs it is the token that counts, then the proxy, then the kernel."""
        if (shown := await self._by_token(request, proxied)) is not None:
            return shown, "token" if shown.kind == "token" else "session" if _shows(request, PREFIX) else "oidc"
        if proxied is not None:
            return proxied, "iap"
        return self._by_peer(request, way), "socket" if way is Way.UNIX else "loopback"

    async def _by_proxy(self, request: Request, way: Way) -> Principal | None:
        """Whom the Identity-Aware Proxy names, in the header that it signs; None where none is before this door.

        Headers that say who somebody is and are not signed (x-goog-authenticated-user-email) are never looked at.
        """
        if self._trusted.iap is None or way is not Way.REMOTE:
            return None
        given = request.headers.getlist(ASSERTION)
        if len(given) > 1:
            raise Refused(f"there are several headers {ASSERTION}")
        if given:
            return await self._trusted.iap.verify(given[0])
        if self._listening.behind_proxy and not self._trusted.issuers:
            raise Refused("this request has not come through the proxy")
        return None

    def _by_peer(self, request: Request, way: Way) -> Principal:
        """The user at the other end of the connection. Raises NotAllowed, NotAuthenticated."""
        if way is Way.UNIX:
            uid = request.scope.get(PEER)
        elif way is Way.LOOPBACK and request.client is not None:
            if found := [name for name in _PROXIED if name in request.headers]:
                raise NotAllowed(
                    f"this comes through a proxy ({found[0]}): who is behind it would have the rights of its user",
                    hint="have the proxy ask --listen: docs/access.md",
                )
            uid = owner_of((request.client.host, request.client.port), request.scope["server"])
        else:
            raise NotAuthenticated(
                "the token is missing or wrong",
                hint="set KHANTUI_TOKEN or KHANTUI_TOKEN_FILE; or khantui context set NAME --token-command",
            )
        if not isinstance(uid, int):
            raise NotAllowed("it is not known which user asks", hint="keep the connection open until it is answered")
        return local(uid)

    async def _by_token(self, request: Request, proxied: Principal | None) -> Principal | None:
        """Whose token is shown; None if there is none. Raises NotAuthenticated.

        Behind the proxy that is one of ours: another is what the client has shown to the proxy.
        """
        given = request.headers.getlist("authorization")
        if not given:
            return None
        scheme, _, text = given[0].partition(" ")
        text = text.strip()
        if len(given) > 1 or scheme.lower() != "bearer" or not text:
            raise NotAuthenticated("the token is missing or wrong", hint="Authorization: Bearer TOKEN, once")
        digest = hashlib.sha256(text.encode())
        if text.startswith(PREFIX):
            token = self._access.token(digest.hexdigest())
            if token is None:
                return await self._by_session(digest.hexdigest())
            if token.expired(self._clock.now()):
                raise NotAuthenticated(f"the token {token.name} has expired", hint="have a new one made")
            return Principal(token.name, "token")
        if proxied is not None:
            return None
        if self._trusted.speaks(text):
            return await self._trusted.bearer(text)
        if self._file is not None:
            self._refresh(self._file)
        if not self._token or not hmac.compare_digest(digest.digest(), hashlib.sha256(self._token).digest()):
            raise NotAuthenticated("the token is missing or wrong", hint="set KHANTUI_TOKEN or KHANTUI_TOKEN_FILE")
        return Principal("token", "token", owner=True)

    async def _by_session(self, digest: str) -> Principal:
        """Who is signed in. Raises NotAuthenticated."""
        session = await self._access.session(digest)
        if session is None:
            raise NotAuthenticated("the token is missing or wrong", hint="it may have been revoked")
        if session.expires is not None and self._clock.now() >= session.expires:
            raise NotAuthenticated("the session has ended", hint="open the page again")
        return session.principal

    def _refresh(self, file: Path) -> None:
        """Read the token if its file was replaced. Raises KhanError for one that could be guessed."""
        try:
            changed = file.stat().st_mtime_ns
            if changed == self._read:
                return
            token = file.read_bytes().strip()
        except OSError as error:
            if self._token:  # it is being replaced: the old one does for now
                return
            raise KhanError(f"the token {file} cannot be read: {error.strerror}") from error
        if len(token) < SHORTEST:
            raise KhanError(
                f"the token in {file} is shorter than {SHORTEST} bytes", hint="make one: openssl rand -hex 32"
            )
        self._token, self._read = token, changed


def _shown(request: Request) -> bytes:
    """The hash of what is to open the door; nothing where nothing is shown."""
    given = [*request.headers.getlist("authorization"), "", *request.headers.getlist(ASSERTION)]
    return hashlib.sha256("\0".join(given).encode()).digest() if len(given) > 1 else b""


def _shows(request: Request, prefix: str) -> bool:
    """Whether a token is shown that begins so."""
    return request.headers.get("authorization", "").partition(" ")[2].strip().startswith(prefix)


def _keep_sites_out(request: Request) -> None:
    """A page of another site must not reach the daemon through its visitor's browser."""
    host = request.headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    origin = request.headers.get("origin")
    if name not in _HOSTS or (origin and origin.split("://", 1)[-1] != host):
        raise NotAllowed(f"requests for {host or 'no host'} from {origin or 'elsewhere'} are not answered here")


def owner_of(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """The user at the other end of a loopback connection, by the kernel's table of sockets; None where it cannot tell.

    The kernel says root of a socket that nobody holds any more: whoever asks and hangs up at once is nobody.
    """
    for table, mapped in (("/proc/net/tcp", False), ("/proc/net/tcp6", True)):
        ends = [_as_listed(client, mapped), _as_listed(server, mapped), _ESTABLISHED]
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1:4] == ends:
                return int(fields[7]) if fields[9] != "0" else None
    return None


def _as_listed(end: tuple[str, int], mapped: bool) -> str:
    """An IPv4 address and a port as the kernel's tables have them: words in the machine's order, in hex."""
    address = b"\0" * 10 * mapped + b"\xff" * 2 * mapped + socket.inet_aton(end[0])
    return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", address)) + f":{end[1]:04X}"


def local(uid: int) -> Principal:
    """A user of this machine."""
    if uid in (os.getuid(), 0):
        return Principal(_login(uid)[0], owner=True)
    name, groups = _login(uid)
    return Principal(f"unix:{name}", groups=frozenset(f"unix:{g}" for g in groups))


@lru_cache(maxsize=256)
def _login(uid: int) -> tuple[str, tuple[str, ...]]:
    """The name of a user, and the groups. Kept: with a directory service these are requests over the network."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return (getpass.getuser() if uid == os.getuid() and "USER" in os.environ else str(uid)), ()
    names = []
    for gid in os.getgrouplist(user.pw_name, user.pw_gid):
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            names.append(str(gid))
    return user.pw_name, tuple(names)
