"""Who asks. One place, so that real authentication replaces it as a whole.

The unix socket's permission (0600) is the login: whoever can connect is the daemon's own user, or root. On loopback TCP
the same holds: the kernel says which user the other end belongs to, and browsers of other sites are kept out. From
other machines it takes the token.
"""

from __future__ import annotations

import getpass
import hmac
import os
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request

from backend.api.doors import SCOPE, Way
from backend.api.operations import ROLES, Role
from backend.errors import KhanError, NotAllowed, NotAuthenticated

_HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]", "khantui", ""))
SHORTEST = 16  # bytes of a token


class Identity(Struct, frozen=True):
    """Who asks, from where, and in which role. Whoever is let in here owns the daemon, and may do everything."""

    name: str
    origin: str
    role: Role = "admin"

    def may(self, role: Role) -> bool:
        """Whether what asks for `role` is allowed."""
        return ROLES.index(self.role) >= ROLES.index(role)


def permit(who: Identity, operation: str, role: Role) -> None:
    """The one check of what a role may do. Raises NotAllowed."""
    if not who.may(role):
        raise NotAllowed(
            f"{operation} is for the role {role} and above; {who.name} has the role {who.role}",
            hint="whoever runs this daemon gives roles",
        )


class Login:
    """Lets in whoever may come in by the door that he has come to."""

    def __init__(self, token_file: Path | None = None) -> None:
        """`token_file`: holds the token for requests from other machines; without it there are none."""
        self._file = token_file
        self._token = b""
        self._read = 0  # the file's time of change when it was read
        if token_file is not None:
            self._refresh(token_file)

    def identify(self, request: Request) -> Identity:
        """Who asks. Raises NotAllowed, NotAuthenticated."""
        name = request.headers.get("x-khan-user", "")[:64]
        shown = "".join(c for c in name if c.isprintable())
        client = request.client
        way = request.scope.get(SCOPE)
        if way is Way.UNIX:
            return Identity(shown or _own_name(), "unix")
        if client is None or way is None:
            raise NotAllowed("it is not known where this request comes from")
        if way is Way.REMOTE:
            self._check(request)
            return Identity(shown or "token", client.host)
        _keep_sites_out(request)
        uid = _owner_of(client.port, request.scope.get("server"))
        if uid not in (os.getuid(), 0):
            raise NotAllowed("this port is for the daemon's own user", hint="each user runs a daemon of their own")
        return Identity(shown or _own_name(), client.host)

    def _check(self, request: Request) -> None:
        """Whether the request carries the token. Raises NotAuthenticated."""
        if self._file is not None:
            self._refresh(self._file)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self._token)
        if scheme.lower() != "bearer" or not self._token or not right:
            raise NotAuthenticated("the token is missing or wrong", hint="set KHANTUI_TOKEN or KHANTUI_TOKEN_FILE")

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


def _keep_sites_out(request: Request) -> None:
    """A page of another site must not reach the daemon through its visitor's browser."""
    host = request.headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    origin = request.headers.get("origin")
    if name not in _HOSTS or (origin and origin.split("://", 1)[-1] != host):
        raise NotAllowed(f"requests for {host or 'no host'} from {origin or 'elsewhere'} are not answered here")


def _owner_of(port: int, server: tuple[str, int | None] | None) -> int | None:
    """The user at the other end of a loopback connection: who owns the socket bound to `port`."""
    wanted = f":{port:04X}"
    ours = f":{server[1]:04X}" if server and server[1] else ""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[2].endswith(ours):
                return int(fields[7])
    return None


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
