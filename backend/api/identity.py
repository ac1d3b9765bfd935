"""Who asks. One place, so that real authentication replaces it as a whole.

The unix socket's permission (0600) is the login: whoever can connect is the daemon's own user, or root. On loopback TCP
the same holds: the kernel says which user the other end belongs to, and browsers of other sites are kept out.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request

from backend.api.operations import ROLES, Role
from backend.errors import NotAllowed

_HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]", "khantui", ""))


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


def identify(request: Request) -> Identity:
    """Who asks. Raises NotAllowed."""
    name = request.headers.get("x-khan-user", "")[:64]
    shown = "".join(c for c in name if c.isprintable()) or _own_name()
    client = request.client
    if client is None or not client.port:
        return Identity(shown, "unix")
    _keep_sites_out(request)
    uid = _owner_of(client.port, request.scope.get("server"))
    if uid not in (os.getuid(), 0):
        raise NotAllowed("this port is for the daemon's own user", hint="each user runs a daemon of their own")
    return Identity(shown, client.host)


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
