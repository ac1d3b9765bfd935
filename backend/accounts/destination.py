"""Where a stage may connect to: patterns of hosts and ports, and which addresses they may turn out to be.

A name says what is meant, and an address what is reached: both are looked at, so that a name whose owner points it at
a private address opens nothing. Only the standard library is used here: the proxy of a stage starts with it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

USUAL = (443, 80)  # ports of a destination that says none
ALL = "*"
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_LOOPBACK = tuple(ipaddress.ip_network(n) for n in ("127.0.0.0/8", "0.0.0.0/8", "::/127"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")


class Destination(NamedTuple):
    """A pattern: hosts by name, or addresses; and ports."""

    text: str
    host: str  # "api.example.org", "*.example.org", "*"; empty where `network` says it
    network: Network | None
    ports: tuple[int, ...] | None  # None: any

    def names(self, host: str, port: int) -> bool:
        """Whether this host name is meant, at this port."""
        if not self.host or not self.opens(port):
            return False
        if self.host.startswith("*."):
            return host.endswith(self.host[1:])
        return self.host in (ALL, host)

    def holds(self, address: Address, port: int) -> bool:
        """Whether this address was declared as one, at this port."""
        network = self.network
        return network is not None and network.version == address.version and address in network and self.opens(port)

    def opens(self, port: int) -> bool:
        """Whether the port is one of its own."""
        return self.ports is None or port in self.ports


def parse(text: str) -> Destination:
    """From `host`, `host:port`, `host:*`; the host a name, `*.name`, `*`, an address or a network.

    Raises ValueError, which says what is wrong.
    """
    given = text.strip().lower()
    host, port = _split(given)
    ports = _ports(port, any_port=host == ALL)
    network = _network(host)
    if network is None and host != ALL:
        host = plain(host)
        if not _HOST.fullmatch(host) or len(host) > 253 or re.fullmatch(r"[0-9.]+", host):
            raise ValueError(f"{text!r} is no destination: host[:port], *.example.org:443, 10.1.0.0/16:5432 or *")
    if network is not None and _own(network) and not port.isdecimal():  # the daemon itself listens there
        raise ValueError(f"{text!r}: of this machine's own addresses each port must be named")
    return Destination(given, "" if network is not None else host, network, ports)


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):  # [2001:db8::1]:443
        host, _, rest = text[1:].partition("]")
        if rest and not rest.startswith(":"):
            raise ValueError(f"{text!r} is no destination: write [address]:port")
        return host, rest[1:]
    if text.count(":") > 1:  # an address of IPv6, without a port
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def _ports(port: str, *, any_port: bool) -> tuple[int, ...] | None:
    if port == "*" or (not port and any_port):
        return None
    if not port:
        return USUAL
    if not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{port!r} is no port: 1 to 65535, or *")
    return (int(port),)


def _network(host: str) -> Network | None:
    try:
        return ipaddress.ip_network(host, strict=False)
    except ValueError:
        if "/" in host or ":" in host:
            raise ValueError(f"{host!r} is no address and no network: 10.1.0.0/16, 192.0.2.7") from None
        return None


def _own(network: Network) -> bool:
    """Whether it has addresses of this machine alone."""
    return any(network.version == own.version and network.overlaps(own) for own in _LOOPBACK)


class Destinations:
    """All that a stage may connect to."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises ValueError."""
        self.all = tuple(parse(text) for text in patterns)

    def names(self, host: str, port: int) -> bool:
        """Whether a host, as a stage wrote it, may be looked up and connected to."""
        address = literal(host)
        if address is not None and any(d.holds(address, port) for d in self.all):
            return True
        return any(d.names(plain(host), port) for d in self.all)

    def reaches(self, address: str, port: int) -> bool:
        """Whether what such a host turned out to be may be connected to: it is public, or was declared itself."""
        found = literal(address)
        if found is None:
            return False
        return public(found) or any(d.holds(found, port) for d in self.all)

    def direct(self) -> Iterator[tuple[str, int]]:
        """Hosts that are declared exactly, with a port, and addresses of this machine: each once.

        A stage can listen in their place, so that programs that know no proxy reach them as well.
        """
        seen = set()
        for each in self.all:
            if each.ports is None or len(each.ports) > 1 or each.ports[0] < 1024:  # others are root's to listen at
                continue
            if each.host and "*" not in each.host:
                seen.add((each.host, each.ports[0]))
            elif (network := each.network) and network.is_loopback and network.prefixlen == 32:
                seen.add((str(network.network_address), each.ports[0]))
        yield from sorted(seen)


def plain(host: str) -> str:
    """A host name as it is compared: small letters, ASCII, no dot at its end."""
    host = host.strip().rstrip(".").lower()
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return ""


def literal(host: str) -> Address | None:
    """The address, if it is written as one."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def public(address: Address) -> bool:
    """Whether it is an address of the internet: not of a private network, this machine, a link, or a cloud's metadata.

    An address of IPv6 that stands for one of IPv4 is judged by that.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64_LOCAL:
            return False
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
