"""An etcd for one test, to which things happen."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from backend.store.base import Put, Store
from backend.store.embedded import EmbeddedEtcd
from backend.store.server_binary import EtcdBinary


class Server:
    """An etcd of our own, and what may happen to it."""

    def __init__(self, folder: Path, binary: EtcdBinary, quota: int = 1 << 30) -> None:
        self.folder = folder
        self._binary = binary
        self._quota = quota
        self._etcd = EmbeddedEtcd(folder, binary, quota=quota)
        self.target = self._etcd.target

    async def start(self) -> None:
        """Start one on the folder."""
        self._etcd = EmbeddedEtcd(self.folder, self._binary, quota=self._quota)
        await self._etcd.start()

    async def stop(self) -> None:
        """End it politely."""
        await self._etcd.stop()

    def kill(self) -> None:
        """`kill -9`; it is started again by itself."""
        os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)

    async def set_back(self, backup: Path) -> None:
        """Replace its data by an earlier state."""
        await self.stop()
        shutil.rmtree(self.folder / "data")
        shutil.copytree(backup, self.folder / "data")
        await self.start()


async def put(store: Store, key: str, value: bytes) -> int:
    """Write a key, whatever it was: the revision."""
    revision = await store.commit([], [Put(key, value)])
    assert revision is not None
    return revision
