"""Who shows what does not open the door is held up, from where they do it: the longer, the more often."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from backend.errors import TooMany

LONGEST = 300.0  # seconds that somebody is held up at most
FORGOTTEN = 900.0  # seconds without a failure after which all of them are forgotten
_MOST = 10_000  # places, and good credentials, that are remembered; of those beyond, the oldest are forgotten
_TRIED = 32  # of the newest that a place has tried


class _Place(Struct):
    tried: list[bytes]
    failures: int
    last: float
    until: float


class Failures:
    """Places that failures have come from: addresses, and users of this machine.

    A neighbour behind the same address must not lock anybody out. So what has been good from there is never held up,
    nor counted once it has ended (of a terminal that is left open); and the same wrong token counts once: it is one
    guess, however often it comes.
    """

    def __init__(self, free: int = 10, now: Callable[[], float] = time.monotonic) -> None:
        """`free`: as many cost nothing (a token that has just expired, in several programs at once); 0: none does."""
        self._free = free
        self._now = now
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._good: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def check(self, place: str, shown: bytes) -> None:
        """Raises TooMany where one has to wait; `shown` is the hash of what is shown."""
        found = self._places.get(place)
        if found is None or (place, shown) in self._good:
            return
        left = found.until - self._now()
        if left > 0:
            raise TooMany(f"{found.failures} wrong tokens were shown from {place}", wait=max(1, math.ceil(left)))

    def failed(self, place: str, shown: bytes) -> None:
        """Count one."""
        if not self._free or (place, shown) in self._good:
            return
        now = self._now()
        found = self._places.pop(place, None)
        if found is None or now - found.last > FORGOTTEN:
            found = _Place([], 0, now, now)
        self._places[place] = found
        if shown in found.tried:
            return
        found.tried = [*found.tried[1 - _TRIED :], shown]
        found.failures += 1
        found.last = now
        if found.failures >= self._free:
            found.until = now + min(LONGEST, 2.0 ** min(found.failures - self._free, 30))
        if len(self._places) > _MOST:
            self._places.popitem(last=False)

    def succeeded(self, place: str, shown: bytes) -> None:
        """Remember that this was good."""
        self._good[place, shown] = None
        self._good.move_to_end((place, shown))
        if len(self._good) > _MOST:
            self._good.popitem(last=False)


def network(address: str) -> str:
    """What counts as one place: an address; of IPv6 the network of 64 bits, of which one host has all."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"
