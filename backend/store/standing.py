"""How the store is, looked at now and then: whoever asks has the answer at once, also while the store has none."""

from __future__ import annotations

import asyncio
from pathlib import Path

from backend.errors import StoreError
from backend.room import full
from backend.store.base import Store

EVERY = 2.0  # seconds


class Standing:
    """The last that is known of a store."""

    def __init__(self, store: Store, folder: Path | None = None) -> None:
        """`folder`: where an etcd of our own has its data."""
        self._store = store
        self._folder = folder
        self.state = "ok"  # or "full": it is read-only; or "away"
        self.message = ""  # what that means, for people

    async def run(self) -> None:
        """Look at it until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Look at it once."""
        try:
            health = await self._store.health()
        except StoreError as error:
            why = f"the disk of {self._folder} is full" if self._folder and full(self._folder) else error.message
            self.state, self.message = "away", f"etcd does not answer: {why}"
            return
        self.state, self.message = ("full", FULL) if health.full else ("ok", "")


FULL = "etcd is full: what is there can be read and deleted, nothing else can be changed"
