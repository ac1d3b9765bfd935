"""How much one caller may ask for, and how much of it at once."""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from backend.errors import TooMany

_MOST = 10_000  # callers that are remembered; of those beyond, who has not asked for longest begins anew


class Rates:
    """A bucket for each caller: it holds `burst` requests, and `rate` come back each second."""

    def __init__(self, rate: float, burst: int, now: Callable[[], float] = time.monotonic) -> None:
        """A `rate` of 0 is none: everything is let through."""
        self._rate = rate
        self._burst = burst
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # who -> what is left, and when

    def take(self, who: str) -> None:
        """Take one. Raises TooMany where nothing is left."""
        if not self._rate:
            return
        now = self._now()
        left, then = self._buckets.pop(who, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._rate)
        if left < 1:
            self._buckets[who] = (left, now)
            raise TooMany(
                f"{who} asks too often: {self._rate:g} requests a second are served",
                wait=max(1, math.ceil((1 - left) / self._rate)),
            )
        self._buckets[who] = (left - 1, now)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)


class Streams:
    """How many endless answers each caller has open: nobody may have all connections of a door."""

    MOST = 100

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def check(self, who: str) -> None:
        """Raises TooMany where there are as many as there may be."""
        if self._open.get(who, 0) >= self.MOST:
            raise TooMany(f"{who} has {self.MOST} streams open, which is as many as there may be", wait=10)

    def began(self, who: str) -> None:
        """Count one."""
        self._open[who] += 1

    def ended(self, who: str) -> None:
        """Count one less."""
        self._open[who] -= 1
        if self._open[who] <= 0:
            del self._open[who]
