"""How much one caller may ask for."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
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
