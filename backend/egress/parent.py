"""The proxy behind which this machine is, if it is behind one: `HTTPS_PROXY` and `NO_PROXY` of the daemon. Pure."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from backend.accounts.destination import literal

NAMES = ("HTTPS_PROXY", "NO_PROXY")  # each also in small letters, which counts first


class Parent(Struct, frozen=True):
    """Where to ask for connections, and for which not to."""

    host: str
    port: int
    tls: bool = False
    authorization: str = ""  # of the header, from the URL's user and password
    spared: tuple[str, ...] = ()  # NO_PROXY: names, with all below them; addresses and networks; with a port or not

    def spares(self, host: str, port: int, addresses: Iterable[str] = ()) -> bool:
        """Whether a host, which turned out to be at these addresses, is to be reached without it."""
        found = [each for each in map(literal, (host, *addresses)) if each is not None]
        if any(each.is_loopback for each in found):  # that would be the proxy's own machine
            return True
        return any(_means(entry, host, port, found) for entry in self.spared)

    def request(self, host: str, port: int) -> bytes:
        """What asks it for a connection."""
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        proof = f"Proxy-Authorization: {self.authorization}\r\n" if self.authorization else ""
        return f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n{proof}\r\n".encode()


def parent_of(environment: Mapping[str, str]) -> Parent | None:
    """The proxy that these variables name. Raises ValueError for one that cannot be asked."""
    url, spared = (environment.get(name.lower()) or environment.get(name, "") for name in NAMES)
    if not url:
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("HTTPS_PROXY is no http://HOST:PORT")  # it may hold a password: it is not repeated
    proof = ""
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        proof = f"Basic {base64.b64encode(user.encode()).decode()}"
    tls = parts.scheme == "https"
    entries = tuple(entry.strip().lower() for entry in spared.split(",") if entry.strip())
    return Parent(parts.hostname, parts.port or (443 if tls else 80), tls, proof, entries)


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment says it."""
    wanted = {form for name in NAMES for form in (name, name.lower())}
    return {name: value for name, value in environment.items() if name in wanted}


def _means(
    entry: str, host: str, port: int, addresses: Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> bool:
    """Whether an entry of NO_PROXY means a host."""
    if entry == "*":
        return True
    network = _network(entry)
    if network is None and entry.count(":") == 1:
        entry, _, given = entry.partition(":")
        if given != str(port):
            return False
        network = _network(entry)
    if network is not None:
        return any(each.version == network.version and each in network for each in addresses)
    name = entry.removeprefix("*").lstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
