"""Counts the pods that are made for each attempt, whatever becomes of them."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict

from backend.executors.base import AttemptKey
from backend.executors.kubernetes.names import key_of
from backend.kube import PODS, Connection, Informer, Object, connect


class Census:
    """All pods of a namespace since it was opened, by attempt."""

    def __init__(self, namespace: str) -> None:
        self.pods: dict[AttemptKey, set[str]] = defaultdict(set)
        self._namespace = namespace
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._count(),))

    def __enter__(self) -> Census:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self._loop.close()

    def of(self, run: str) -> dict[str, int]:
        """How many pods each attempt of a run has had: "stage/number" -> pods."""
        return {f"{key.stage}/{key.number}": len(uids) for key, uids in self.pods.items() if key.run == run}

    async def _count(self) -> None:
        self._task = asyncio.create_task(self._follow())
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        kube = await connect(Connection(namespace=self._namespace))
        informer = Informer(kube, PODS, Object, labels="khantui.dev/attempt")
        following = asyncio.create_task(informer.run())
        try:
            await informer.synced.wait()
            self._ready.set()
            async for changes in informer.changes():
                for change in changes:
                    if key := key_of(change.object.metadata.annotations):
                        self.pods[key].add(change.object.metadata.uid)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await kube.close()
