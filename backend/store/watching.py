"""A watch that goes on over lost connections, frozen servers and elections: each revision once, whole, in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from backend.errors import StoreCompacted, StoreRewound, StoreUnavailable
from backend.store.base import Batch, Change
from backend.store.calls import Calls, Denied, rpc

log = logging.getLogger(__name__)

ANSWER = 5.0  # seconds within which a server that was asked something must say something
IDLE = 15.0  # seconds of silence after which it is asked


class Lost(ConnectionError):
    """The stream ended or fell silent."""


_AWAY = (grpc.aio.AioRpcError, Lost, TimeoutError, asyncio.InvalidStateError, StoreUnavailable, Denied)


class Watching:
    """One watch on a prefix."""

    def __init__(self, calls: Calls, root: bytes, prefix: str, end: str) -> None:
        self._calls = calls
        self._root = root
        self._key = root + prefix.encode()
        self._end = root + (prefix + end).encode()

    async def batches(self, revision: int) -> AsyncIterator[Batch]:
        """Changes from `revision` on, for ever. Raises StoreCompacted or StoreRewound: then list again."""
        following, pause = revision, 0.05
        while True:
            seen = self._calls.current
            try:
                async for batch in self._stream(following):
                    # resume behind the last event seen, not at a header's revision: that runs ahead of events to come
                    following, pause = batch.revision + 1, 0.05
                    yield batch
            except _AWAY as error:
                said = str(error.details() if isinstance(error, grpc.aio.AioRpcError) else error)
                log.info("the watch on etcd is resumed at %d: %s", following, said)
                if "auth" in said.lower() or "token" in said.lower() or "permission" in said.lower():
                    self._calls.forget_login()
                self._calls.fail(seen)
                self._calls.resumed += 1
                await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311
                pause = min(pause * 2, 1.0)

    async def _stream(self, revision: int) -> AsyncIterator[Batch]:
        call = self._calls.member().watch.Watch(metadata=await self._calls.metadata())
        reading: asyncio.Task[Any] | None = None
        try:
            create = rpc.WatchCreateRequest(
                key=self._key, range_end=self._end, start_revision=revision, progress_notify=True
            )
            async with asyncio.timeout(ANSWER):
                await call.write(rpc.WatchRequest(create_request=create))
            asked = True
            while True:
                reading = reading or asyncio.ensure_future(call.read())
                done, _ = await asyncio.wait({reading}, timeout=ANSWER if asked else IDLE)
                if not done:
                    if asked:
                        raise Lost("etcd is silent")
                    async with asyncio.timeout(ANSWER):
                        await call.write(_PROGRESS)
                    asked = True
                    continue
                answer, reading, asked = reading.result(), None, False
                self._check(answer, revision)
                if answer.events:
                    yield self._batch(answer.events)
        finally:
            call.cancel()
            if reading is not None:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                    await reading

    def _check(self, answer: Any, revision: int) -> None:
        if answer is grpc.aio.EOF:
            raise Lost("etcd ended the stream")
        if answer.compact_revision:
            raise StoreCompacted(f"etcd has forgotten what was before revision {answer.compact_revision}")
        if answer.canceled:
            raise Lost(answer.cancel_reason)
        if answer.created and answer.header.revision + 1 < revision:
            raise StoreRewound(f"etcd is at revision {answer.header.revision}, and was at {revision - 1} before")

    def _batch(self, events: Any) -> Batch:
        start = len(self._root)
        changes = [
            Change(
                e.kv.key[start:].decode(),
                None if e.type == _DELETED else e.kv.value,
                e.kv.mod_revision,
                e.kv.create_revision,
            )
            for e in events
        ]
        return Batch(changes[-1].modified, changes)


_PROGRESS = rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())
_DELETED = 1  # mvccpb.Event.DELETE
