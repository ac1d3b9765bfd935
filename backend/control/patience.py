"""Asking again for as long as whoever is asked cannot be reached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from backend.errors import ObjectStoreUnavailable, StoreError

log = logging.getLogger(__name__)
T = TypeVar("T")


async def patiently(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The answer, however long the store, or that of artifacts, cannot be reached."""
    pause = 0.05
    while True:
        try:
            return await ask()
        except (StoreError, ObjectStoreUnavailable) as error:
            log.warning("the store: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
