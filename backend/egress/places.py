"""Where a stage finds its way out, inside of its own network namespace."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from backend.accounts.destination import Destinations, literal

PORT = 3128
MOST_DIRECT = (
    100  # hosts and ports that have a listener of their own; descriptors that one message carries have a limit
)


class Place(NamedTuple):
    """An address of the stage's loopback; what connects there reaches `host`, or the proxy if that is empty."""

    address: str
    port: int
    host: str = ""

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


class Plan(NamedTuple):
    """What a proxy is told when it starts."""

    account: str
    destinations: tuple[str, ...]
    places: tuple[Place, ...]

    def pack(self) -> str:
        """For its command line: there is nothing secret in it."""
        return json.dumps(self)

    @classmethod
    def unpack(cls, text: str) -> Plan:
        """From `pack`."""
        account, destinations, places = json.loads(text)
        return cls(account, tuple(destinations), tuple(Place(*p) for p in places))


def plan(account: str, destinations: Iterable[str]) -> Plan:
    """The proxy, and each host that is declared with one port, at an address of its own."""
    wanted = tuple(destinations)
    hosts = {"localhost": "127.0.0.1"}
    places = {str(proxy := Place("127.0.0.1", PORT)): proxy}
    for host, port in list(Destinations(wanted).direct())[:MOST_DIRECT]:
        address = host if literal(host) else hosts.setdefault(host, f"127.64.{len(hosts) // 250}.{len(hosts) % 250}")
        place = Place(address, port, host)
        places.setdefault(str(place), place)
    return Plan(account, wanted, tuple(places.values()))


def hosts_file(plan: Plan) -> str:
    """The sandbox's /etc/hosts."""
    names = {place.host: place.address for place in plan.places if place.host not in ("", "localhost", place.address)}
    lines = ["127.0.0.1 localhost", *(f"{address} {host}" for host, address in names.items())]
    return "".join(f"{line}\n" for line in lines)


def variables() -> dict[str, str]:
    """What tells programs of the proxy."""
    url = f"http://127.0.0.1:{PORT}"
    given = {"http_proxy": url, "https_proxy": url, "all_proxy": url, "no_proxy": "localhost,127.0.0.1,::1"}
    return given | {name.upper(): value for name, value in given.items()}
