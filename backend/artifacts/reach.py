"""What inputs and outputs of documents may reach from the daemon, which itself reaches more than who writes them.

Addresses are checked where the connection is made, and that very address is connected to: a name that is resolved twice
may lead to two places. So each step of a redirect is checked too.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from backend.errors import ArtifactError
from backend.safeguards import network

if TYPE_CHECKING:
    import httpx

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
SILENCE = 60.0  # seconds without a byte after which the web is not waited for any longer
_SYSTEM = ("/proc", "/sys", "/dev")
_TRANSLATED = IPv6Network("64:ff9b::/96")  # NAT64: an IPv4 address in its last four bytes
_METADATA = frozenset((IPv4Address("168.63.129.16"),))  # of clouds, at addresses that look like anybody's


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]).partition("%")[0] for info in found))


class Reach:
    """What may be reached: addresses that are anybody's, those that `inputs` names, and files below `files`."""

    def __init__(
        self,
        inputs: Iterable[str] = (),
        *,
        files: Iterable[Path] = (Path("/"),),
        closed: Iterable[Path] = (),
        resolve: Resolve = resolve,
    ) -> None:
        """`inputs`: hosts (with *.) and networks; `closed`: files and folders that are never read nor written."""
        self._networks = [found for place in inputs if (found := network(place)) is not None]
        self._hosts = [place for place in inputs if network(place) is None]
        self._files = [path.resolve() for path in files]
        self._closed = [path.resolve() for path in (*closed, *map(Path, _SYSTEM))]
        self._resolve = resolve

    def path(self, path: Path, uri: str, *, write: bool = False) -> Path:
        """The file or folder itself, if it may be read or replaced. Raises ArtifactError."""
        real = path.resolve()
        if not any(real.is_relative_to(folder) for folder in self._files):
            there = ", ".join(map(str, self._files)) or "none"
            raise ArtifactError(
                f"{uri} is out of reach: folders whose files pipelines may use are {there}",
                hint="an administrator adds some: --files DIR",
            )
        for closed in self._closed:
            if real.is_relative_to(closed) or (closed.is_relative_to(real) and (write or str(closed) not in _SYSTEM)):
                raise ArtifactError(f"{uri} is out of reach: {closed} is the daemon's or the system's own")
        return path

    def host(self, host: str) -> None:
        """Whether an address or name may be asked for at all, before it is resolved. Raises ArtifactError."""
        try:
            found = ip_address(host.strip("[]").partition("%")[0])
        except ValueError:
            return
        self._check(host, found)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Addresses of a host, all of which may be reached. Raises ArtifactError, OSError."""
        found = await self._resolve(host, port)
        for each in found:
            self._check(host, ip_address(each))
        return found

    def _check(self, host: str, address: Address) -> None:
        if any(fnmatchcase(host.lower().rstrip("."), place) for place in self._hosts):
            return
        if any(address.version == inside.version and address in inside for inside in self._networks):
            return
        for each in (address, *_within(address)):
            if not each.is_global or each.is_multicast or each in _METADATA:
                named = host if host == str(address) else f"{host} ({address})"
                raise ArtifactError(
                    f"{named} is out of reach: it is inside, not on the public network",
                    hint="an administrator allows it: --allow-inputs HOST or NETWORK",
                )

    def client(self) -> httpx.AsyncClient:
        """Asks the web, and nothing else."""
        import httpx

        direct = _direct(self)
        mounts: dict[str, httpx.AsyncBaseTransport | None] = {}
        proxies = getproxies()
        if proxies.get("no", "") != "*":
            for scheme in ("http", "https"):
                if proxy := proxies.get(scheme):  # it resolves names itself: what it lets through is its own matter
                    mounts[f"{scheme}://"] = httpx.AsyncHTTPTransport(proxy=proxy)
            for name in filter(None, (name.strip() for name in proxies.get("no", "").split(","))):
                if "/" not in name:
                    mounts[f"all://{'*' if name.startswith('.') else ''}{name}"] = direct

        async def look(request: httpx.Request) -> None:
            self.host(request.url.host)

        return httpx.AsyncClient(
            transport=direct,
            mounts=mounts,
            event_hooks={"request": [look]},
            follow_redirects=True,
            max_redirects=5,
            timeout=SILENCE,
            trust_env=False,
        )


def _within(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return []
    found: list[Address] = [each for each in (address.ipv4_mapped, address.sixtofour) if each is not None]
    if address.teredo is not None:
        found += address.teredo
    if address in _TRANSLATED:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return found


def _direct(reach: Reach) -> httpx.AsyncHTTPTransport:
    """A transport that connects to addresses which were checked."""
    import httpcore
    import httpx

    class Checked(httpcore.AsyncNetworkBackend):
        def __init__(self) -> None:
            self._under = httpcore.AnyIOBackend()

        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Any = None,
        ) -> httpcore.AsyncNetworkStream:
            try:
                addresses = await reach.addresses(host, port)
            except OSError as error:
                raise httpcore.ConnectError(f"{host} is not known: {error.strerror or error}") from error
            last: Exception | None = None
            for address in addresses:
                try:
                    return await self._under.connect_tcp(address, port, timeout, local_address, socket_options)
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                    last = error
            raise last or httpcore.ConnectError(f"{host} has no address")

        async def sleep(self, seconds: float) -> None:
            await self._under.sleep(seconds)

    transport = httpx.AsyncHTTPTransport(trust_env=False)
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=True), network_backend=Checked()
    )
    return transport
