"""Keeps the journal within its bounds: what is too old goes, and of what is left the oldest, if it is too much."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from backend.clock import Clock, doubted
from backend.errors import StoreError
from backend.run.ids import moment_of, new_id
from backend.safeguards import Safeguards
from backend.store import keys
from backend.store.base import MOST_CHANGES, Condition, Delete, Put, Store
from backend.store.records import AuditRecord, record_audit

log = logging.getLogger(__name__)
PAUSE = timedelta(hours=1)
_PART = MOST_CHANGES - 2  # entries of one transaction: it has an entry itself


class Journal:
    """What only the leader does with it. Entries go in one transaction with the one that says so."""

    def __init__(
        self, store: Store, clock: Clock, fence: Callable[[], list[Condition]], safeguards: Safeguards
    ) -> None:
        self._store = store
        self._clock = clock
        self._fence = fence
        self._safeguards = safeguards

    async def run(self) -> None:
        """Look every hour, for ever."""
        while True:
            try:
                if removed := await self.prune():
                    log.info("%d old entries of the journal were removed", removed)
            except StoreError as error:
                log.warning("old entries of the journal cannot be removed: %s", error)
            await self._clock.sleep(PAUSE.total_seconds())

    async def prune(self) -> int:
        """Remove what is beyond the bounds: how many entries. Raises StoreError."""
        end, removed = keys.after(keys.AUDIT), 0
        while True:
            page = await self._store.page(keys.AUDIT, end, limit=_PART, descending=True, keys_only=True)
            beyond = self._beyond(page.count)
            oldest = [kv.key for i, kv in enumerate(page.items) if i < beyond or self._too_old(kv.key)]
            if not oldest:
                return removed
            now = self._clock.now()
            last = moment_of(keys.run_of(oldest[-1]))
            said = {"entries": len(oldest), "until": last.isoformat()}
            entry = AuditRecord(now, "khantui", "prune_audit", "audit", "", said)
            # of many removals in a row one entry tells, which is written anew: they must not fill what they empty
            new = record_audit(new_id(now, seed=f"prune {now:%Y-%m-%d}"), entry)
            changes: list[Put | Delete] = [*map(Delete, oldest), new]
            if await self._store.commit(self._fence(), changes) is None:
                return removed  # another daemon leads
            removed += len(oldest)

    def _beyond(self, count: int) -> int:
        """How many entries are more than is kept; only once a part is full, so that removals do not make work."""
        most = self._safeguards.audit_entries
        return count - most if most and count >= most + _PART else 0

    def _too_old(self, key: str) -> bool:
        days = self._safeguards.audit_days
        if doubted(self._clock):
            return False
        return bool(days) and moment_of(keys.run_of(key)) < self._clock.now() - timedelta(days=days)
