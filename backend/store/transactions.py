"""Transactions that are made once, whatever becomes of the answer.

Each writer has keys of its own, behind all others, in which every transaction leaves its number: after an unknown
outcome they tell for certain whether it was made, and keep one that is still on its way from being made later.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from backend.errors import StoreError, StoreFull, StoreUnavailable
from backend.store.calls import Ambiguous, Calls, rpc

_COMPARE = rpc.Compare
PATIENCE = 2.5  # time-outs of a call, after which a transaction is given up, whatever is known of it


class Slot:
    """A key that one transaction at a time writes; `modified` is the revision of its last change (0: there is none)."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.modified = 0
        self.known = True  # whether `modified` is certain

    def unchanged(self) -> Any:
        """The condition that nobody has written it since."""
        return _COMPARE(key=self.key, target=_COMPARE.MOD, result=_COMPARE.EQUAL, mod_revision=self.modified)


def _put(key: bytes, value: bytes) -> Any:
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value))


def _range(key: bytes) -> Any:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key))


def _first(answer: Any) -> Any:
    """What a transaction's first operation, a range, has found; None if nothing."""
    kvs = answer.responses[0].response_range.kvs
    return kvs[0] if kvs else None


def _unknown(error: StoreError) -> Ambiguous:
    return Ambiguous(
        f"{error.message}: whether the last change was made is not known", hint="look before you try again"
    )


class Transactions:
    """Those of one writer, whose keys begin with `keys`."""

    def __init__(self, calls: Calls, keys: bytes) -> None:
        self._calls = calls
        self._keys = keys
        self._numbers = count(1)
        self._free: list[Slot] = []
        self._slots = 0

    async def make(self, compare: list[Any], operations: list[Any], *, writes: bool) -> int | None:
        """Make one: its revision, or None if a comparison fails. `writes`: not all operations are deletes."""
        slot = self._take_slot()
        mark = str(next(self._numbers)).encode()
        end = asyncio.get_running_loop().time() + PATIENCE * self._calls.timeout
        try:
            while True:
                made, decided = await self._attempt(slot, mark, compare, operations, end)
                if decided:
                    return made
                if asyncio.get_running_loop().time() > end:
                    raise StoreUnavailable("etcd does not get to it: nothing was changed", hint="is etcd running?")
        except StoreFull:
            if writes:
                raise
            return await self._delete(compare, operations)
        finally:
            if slot.known:
                self._free.append(slot)

    async def _attempt(
        self, slot: Slot, mark: bytes, compare: list[Any], operations: list[Any], end: float
    ) -> tuple[int | None, bool]:
        """Try a transaction once: what came of it, and whether that is final. `end`: when to give up, by the loop."""
        request = rpc.TxnRequest(
            compare=[*compare, slot.unchanged()],
            success=[*operations, _put(slot.key, mark)],
            failure=[_range(slot.key)],
        )
        slot.known = False  # if this is cancelled, it may be on its way still: then nobody uses the slot again
        try:
            answer = await self._calls.call("kv", "Txn", request, writes=True)
        except Ambiguous:
            made = await self._settle(slot, mark, end)
            return made, made > 0
        except StoreError:
            slot.known = True
            raise
        slot.known = True
        if answer.succeeded:
            slot.modified = int(answer.header.revision)
            return slot.modified, True
        there = _first(answer)
        modified = int(there.mod_revision) if there is not None else 0
        unchanged = slot.modified == modified
        slot.modified = modified  # it differs where etcd was set back to an earlier state
        return None, unchanged

    async def _delete(self, compare: list[Any], operations: list[Any]) -> int | None:
        """Make a transaction that only deletes, without a mark: an etcd that is full takes no other."""
        try:
            answer = await self._calls.call(
                "kv", "Txn", rpc.TxnRequest(compare=compare, success=operations), writes=True
            )
        except Ambiguous as error:
            raise _unknown(error) from error
        return int(answer.header.revision) if answer.succeeded else None

    async def _settle(self, slot: Slot, mark: bytes, end: float) -> int:
        """After an unknown outcome: the revision the transaction made; or 0, and then it never will be made.

        Overwriting the slot's key overtakes a transaction that is still on its way: its condition no longer holds.
        """
        void = b"void " + mark
        loop = asyncio.get_running_loop()
        while True:
            request = rpc.TxnRequest(
                compare=[slot.unchanged()], success=[_put(slot.key, void)], failure=[_range(slot.key)]
            )
            left = max(min(self._calls.timeout, end - loop.time()), 0.1)
            try:
                answer = await self._calls.call("kv", "Txn", request, writes=True, timeout=left)
            except (Ambiguous, StoreUnavailable) as error:  # of this request; the one before may have been made
                if loop.time() > end:
                    raise _unknown(error) from error
                await asyncio.sleep(0.05)
                continue
            except StoreFull as error:
                raise _unknown(error) from error
            slot.known = True
            if answer.succeeded:
                slot.modified = int(answer.header.revision)
                return 0
            there = _first(answer)
            slot.modified = int(there.mod_revision) if there is not None else 0
            return slot.modified if there is not None and there.value == mark else 0

    def _take_slot(self) -> Slot:
        if self._free:
            return self._free.pop()
        self._slots += 1
        return Slot(self._keys + str(self._slots).encode())
