"""The store in etcd."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]

from backend.errors import LeaseLost, StoreCompacted, StoreUnavailable, StoreUntrusted
from backend.etcd_access import EtcdAccess
from backend.store.base import Batch, Condition, Delete, Health, KeyValue, Page, Put
from backend.store.calls import Ambiguous, Calls, rpc
from backend.store.endpoints import read_endpoints
from backend.store.gathering import Gathering, Reads
from backend.store.transactions import Transactions
from backend.store.watching import Watching

log = logging.getLogger(__name__)

_COMPARE = rpc.Compare
_IN_USE, _QUOTA = 9, 12  # fields of etcd's status: dbSizeInUse, and from 3.6 on dbSizeQuota
SPACE = "\N{DELETE}"  # sorts behind every key that watches and pages show


def _numbers(message: Any) -> dict[int, int]:
    """Numeric fields of an answer that are younger than the stubs."""
    return {f.field_number: f.data for f in UnknownFieldSet(message) if isinstance(f.data, int)}


class EtcdStore:
    """A store below one root of an etcd. Endpoints are `host:port`, URLs, or `unix:/path`."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        root: str = "/khan/v1/",
        timeout: float = 5.0,
        access: EtcdAccess | None = None,
    ) -> None:
        """`access`: certificates, user and password; its endpoints are not looked at."""
        self.root = root
        self.endpoints, encrypted = read_endpoints(endpoints)
        self.written = 0
        self._root = root.encode()
        self.calls = Calls(self.endpoints, timeout=timeout, access=access or EtcdAccess(), encrypted=encrypted)
        self._writers = self._root + f"{SPACE}writers/".encode()
        self._transactions = Transactions(self.calls, self._writers + f"{secrets.token_hex(8)}/".encode())
        self._gathering = Gathering(self._make)
        self._reads = Reads(self._get)

    async def reached(self) -> None:
        """Wait until etcd answers, however long it is away. Raises StoreError where waiting would not help."""
        said = ""
        while True:
            try:
                await self.calls.call("kv", "Range", rpc.RangeRequest(key=self._root, count_only=True))
                return
            except StoreUntrusted:
                raise
            except StoreUnavailable as error:
                if error.message != said:
                    log.warning("etcd is waited for: %s", error.message)
                    said = error.message
                await asyncio.sleep(0.5)

    async def get(self, key: str) -> KeyValue | None:
        return await self._reads.get(key)

    async def _get(self, keys: list[str]) -> list[KeyValue | None]:
        if len(keys) > 1:
            return await self.get_many(keys)
        answer = await self.calls.call("kv", "Range", rpc.RangeRequest(key=self._key(keys[0])))
        return [self._item(answer.kvs[0]) if answer.kvs else None]

    async def get_many(self, keys: list[str]) -> list[KeyValue | None]:
        found: list[KeyValue | None] = []
        for start in range(0, len(keys), 128):
            some = keys[start : start + 128]
            operations = [rpc.RequestOp(request_range=rpc.RangeRequest(key=self._key(k))) for k in some]
            answer = await self.calls.call("kv", "Txn", rpc.TxnRequest(success=operations))
            for response in answer.responses:
                kvs = response.response_range.kvs
                found.append(self._item(kvs[0]) if kvs else None)
        return found

    async def firsts(self, prefixes: list[str], limit: int) -> list[list[str]]:
        found: list[list[str]] = []
        for start in range(0, len(prefixes), 128):
            ranges = [
                rpc.RangeRequest(key=self._key(p), range_end=self._key(p + SPACE), limit=limit, keys_only=True)
                for p in prefixes[start : start + 128]
            ]
            request = rpc.TxnRequest(success=[rpc.RequestOp(request_range=each) for each in ranges])
            answer = await self.calls.call("kv", "Txn", request)
            skip = len(self._root)
            found += [[kv.key[skip:].decode() for kv in r.response_range.kvs] for r in answer.responses]
        return found

    async def page(
        self,
        start: str,
        end: str,
        *,
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
        descending: bool = False,
    ) -> Page:
        request = rpc.RangeRequest(
            key=self._key(start),
            range_end=self._key(end),
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            count_only=count_only,
        )
        if descending:
            request.sort_order = rpc.RangeRequest.DESCEND
            request.sort_target = rpc.RangeRequest.KEY
        answer = await self.calls.call("kv", "Range", request)
        items = [self._item(kv) for kv in answer.kvs]
        return Page(items, revision or answer.header.revision, answer.more, answer.count)

    async def scan(self, prefix: str, *, page: int = 5000, revision: int = 0) -> AsyncIterator[Page]:
        start, end = prefix, f"{prefix}{SPACE}"
        while True:
            found = await self.page(start, end, limit=page, revision=revision)
            revision = found.revision
            yield found
            if not found.more:
                return
            start = found.items[-1].key + "\0"

    async def commit(self, conditions: list[Condition], changes: list[Put | Delete]) -> int | None:
        revision = await self._gathering.make(conditions, changes)
        if revision is not None and any(isinstance(change, Put) for change in changes):
            self.written = revision
        return revision

    async def _make(self, conditions: list[Condition], changes: list[Put | Delete]) -> int | None:
        writes = any(isinstance(c, Put) for c in changes)
        return await self._transactions.make(
            [self._compare(c) for c in conditions], [self._operation(c) for c in changes], writes=writes
        )

    def watch(self, prefix: str, revision: int) -> AsyncIterator[Batch]:
        return Watching(self.calls, self._root, prefix, SPACE).batches(revision)

    async def grant(self, ttl: float) -> int:
        request = rpc.LeaseGrantRequest(TTL=max(1, round(ttl)), ID=secrets.randbits(62) + 1)
        try:
            answer = await self.calls.call("lease", "LeaseGrant", request, writes=True)
        except Ambiguous as error:  # one that was made after all expires by itself
            raise StoreUnavailable(error.message) from error
        return int(answer.ID)

    async def keep_alive(self, lease: int) -> float:
        calls = self.calls
        seen = calls.current
        try:
            call = calls.member().lease.LeaseKeepAlive(
                iter([rpc.LeaseKeepAliveRequest(ID=lease)]), timeout=calls.timeout, metadata=await calls.metadata()
            )
            try:
                answer = await call.read()
            finally:
                call.cancel()
        except grpc.aio.AioRpcError as error:
            calls.fail(seen)
            if error.code().name == "UNAUTHENTICATED":
                calls.forget_login()
            raise StoreUnavailable(f"etcd: {error.details()}") from error
        if answer is grpc.aio.EOF:
            raise StoreUnavailable("etcd closed the stream of the lease")
        if answer.TTL <= 0:  # a lease that is gone answers so, without an error
            raise LeaseLost("the lease has expired")
        return float(answer.TTL)

    async def revoke(self, lease: int) -> None:
        try:
            await self.calls.call("lease", "LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease), writes=True)
        except LeaseLost:  # it is gone already
            return

    async def health(self) -> Health:
        status = await self.calls.call("maintenance", "Status", rpc.StatusRequest())
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.GET, memberID=0, alarm=rpc.NONE)
        alarms = await self.calls.call("maintenance", "Alarm", request)
        full = any(a.alarm == rpc.NOSPACE for a in alarms.alarms)
        younger = _numbers(status)
        in_use, quota = younger.get(_IN_USE, int(status.dbSize)), younger.get(_QUOTA, 0)
        size = int(status.dbSize)  # above the quota the next write is refused, whether the alarm is on yet or not
        return Health(str(status.version), size, in_use, quota, full or size >= quota > 0)

    async def compact(self, revision: int) -> None:
        # asked first: if etcd is not there this says so soon, while what follows may take long
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.GET, memberID=0, alarm=rpc.NONE)
        alarms = (await self.calls.call("maintenance", "Alarm", request)).alarms
        with contextlib.suppress(StoreCompacted):  # by somebody else, or further
            await self.calls.call("kv", "Compact", rpc.CompactionRequest(revision=revision, physical=True), timeout=60)
        await self.calls.call("maintenance", "Defragment", rpc.DefragmentRequest(), timeout=120)
        status = await self.calls.call("maintenance", "Status", rpc.StatusRequest())
        if int(status.dbSize) >= _numbers(status).get(_QUOTA, 1 << 63):
            return  # it has not helped
        for alarm in alarms:
            disarm = rpc.AlarmRequest(action=rpc.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm)
            await self.calls.call("maintenance", "Alarm", disarm)

    async def close(self) -> None:
        await self.calls.close()

    async def sweep(self) -> None:
        """Remove what earlier writers left behind. Only for a store that nobody else uses."""
        request = rpc.DeleteRangeRequest(key=self._writers, range_end=self._writers[:-1] + b"0")
        try:
            await self.calls.call("kv", "DeleteRange", request, writes=True)
        except Ambiguous:
            return

    def _compare(self, condition: Condition) -> Any:
        key = self._key(condition.key)
        if condition.created is not None:
            return _COMPARE(key=key, target=_COMPARE.CREATE, result=_COMPARE.EQUAL, create_revision=condition.created)
        return _COMPARE(key=key, target=_COMPARE.MOD, result=_COMPARE.EQUAL, mod_revision=condition.modified)

    def _operation(self, change: Put | Delete) -> Any:
        key = self._key(change.key)
        if isinstance(change, Put):
            return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=change.value, lease=change.lease))
        end = self._key(change.key + SPACE) if change.prefix else b""
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key, range_end=end))

    def _key(self, key: str) -> bytes:
        return self._root + key.encode()

    def _item(self, kv: Any) -> KeyValue:
        key = kv.key[len(self._root) :].decode()
        return KeyValue(key, kv.value, kv.create_revision, kv.mod_revision)
